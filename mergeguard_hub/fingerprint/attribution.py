"""How much of each known fine-tune is in a merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.pairing import Key, common_keys, values_of
from mergeguard_hub.fingerprint.record import Fingerprint

EXPLAINED = 0.5  # largest unexplained share at which weights are given, our choice: see docs/fingerprint.md
_STILL = 1e-6  # a fine-tune nearer to the base than this, relative, has no task vector to look for


@dataclass(frozen=True)
class Attribution:
    """What a merge is made of, in terms of known fine-tunes of one base.

    Attributes:
        weights: name -> coefficient of the fine-tune's task vector, at least 0; None where they explain less than half
            of the changes (`EXPLAINED`), because a fit of that kind says nothing of how the model was made.
        unexplained: share of the merge's own changes that these do not explain, in [0, 1].
    """

    weights: Mapping[str, float] | None
    unexplained: float


def attribute(merge: Fingerprint, base: Fingerprint, fine_tunes: Mapping[str, Fingerprint]) -> Attribution:
    """Estimate the weight of each fine-tune in a merge by non-negative least squares on changes against the base.

    What is measured changes in proportion to a task vector as long as that is small, so the changes of a merge are the
    weighted sum of those of its parts. A fine-tune that is not given is missing from the sum and shows in
    `unexplained`; one that resembles it gets some of its weight. Where more is missing than is there, or the merge was
    ruined by a protection, there are no weights.

    Args:
        merge: the model in question.
        base: the base model of all.
        fine_tunes: by name; originals or releases of them, which have the same fingerprint.

    Raises:
        FingerprintError: no fine-tune is given, one does not differ from the base, or architectures differ.
    """
    weights, unexplained = fitted(merge, base, fine_tunes)
    return Attribution(weights if unexplained <= EXPLAINED else None, unexplained)


def fitted(
    merge: Fingerprint, base: Fingerprint, fine_tunes: Mapping[str, Fingerprint]
) -> tuple[dict[str, float], float]:
    """Return coefficients that fit best, however badly, and the share of the changes that they leave unexplained.

    Raises:
        FingerprintError: see `attribute`.
    """
    if not fine_tunes:
        raise FingerprintError("no fine-tunes are given, so there is nothing to look for in the merge; give one.")
    from scipy.optimize import nnls

    keys = common_keys(merge, base, *fine_tunes.values())
    columns = []
    for name, fine_tune in fine_tunes.items():
        columns.append(changes(fine_tune, base, keys))
        if np.linalg.norm(columns[-1]) < _STILL:
            raise FingerprintError(f"{name} has the same weights as the base, so its part in a merge is undefined.")
    target = changes(merge, base, keys)
    matrix = np.stack(columns, 1)
    weights, left = nnls(matrix, target)
    size = float(np.linalg.norm(target))
    shares = {name: float(weight) for name, weight in zip(fine_tunes, weights, strict=True)}
    return shares, (0.0 if size < _STILL else float(left / size) ** 2)


def changes(model: Fingerprint, base: Fingerprint, keys: list[Key]) -> np.ndarray:
    """Return what changed against the base, each form relative to the base's, as one vector."""
    after, before = values_of(model), values_of(base)
    sizes = {key: float(np.linalg.norm(before[key])) for key in keys}
    return np.concatenate([(after[key] - before[key]).ravel() / sizes[key] for key in keys if sizes[key] > 0])
