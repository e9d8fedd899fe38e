"""How alike two models are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mergeguard_hub.fingerprint.agreement import agreement
from mergeguard_hub.fingerprint.pairing import Key, common_keys, values_of
from mergeguard_hub.fingerprint.record import Fingerprint

Kinship = Literal["same", "related", "unrelated"]
RELATED = 0.5  # least score of related models; see docs/fingerprint.md for what related and unrelated ones reach
SIGNIFICANT = 1e-3  # largest p-value of related models
STRANGERS = 0.2  # score that independently trained models may reach: 0.17 at most in docs/fingerprint.md, rounded up
_LEAST = 1e-5  # float32 sums in another order, our choice
_EPS = {"BF16": torch.finfo(torch.bfloat16).eps, "F16": torch.finfo(torch.float16).eps}
_COARSE = 2.0**-3  # one step of 8-bit floating-point weights


@dataclass(frozen=True)
class Similarity:
    """How alike two models are, whatever symmetry either is protected by.

    Attributes:
        kinship: "same" up to the rounding of the weights' dtype, "related" (one descends from the other, both from a
            third, or it is merged in), or "unrelated".
        score: mean cosine of what was measured, in [-1, 1]; 1 for the same model, near 0 for unrelated ones. Of a
            pipeline, that of its largest component: text encoders and decoders are shared by strangers.
        distance: root mean square of the relative differences; 0 for the same model, 1.4 for unrelated ones.
        rounding: distance up to which the models count as the same.
        p_value: the chance of such a score for models that are no more alike than independently trained ones, which
            have a likeness of up to `STRANGERS`: trained on similar data they agree a little.
        sizes: root mean square difference of the logarithms of sorted sizes, see `spectra`: 0 for the same model, also
            where its vocabulary was renumbered; small for models of one recipe too, so it decides nothing.
        places: how many forms were compared.
    """

    kinship: Kinship
    score: float
    distance: float
    rounding: float
    p_value: float
    sizes: float
    places: int

    @property
    def related(self) -> bool:
        """Whether the models are the same or related."""
        return self.kinship != "unrelated"


def compare(ours: Fingerprint, theirs: Fingerprint) -> Similarity:
    """Say how alike two models are.

    Args:
        ours: one model.
        theirs: the other; the order does not matter.

    Raises:
        FingerprintError: they have no place in common, because they are of different architectures.
    """
    keys = common_keys(ours, theirs)
    left, right = values_of(ours), values_of(theirs)
    judged = largest(keys, ours)
    found = agreement(((key[2], left[key], right[key]) for key in keys if key[0] == judged), likeness=STRANGERS)
    distance = float(np.sqrt(np.mean([_relative(left[key], right[key]) ** 2 for key in keys])))
    allowed = max(_rounding(ours), _rounding(theirs))
    if distance <= allowed:
        kinship: Kinship = "same"
    else:
        kinship = "related" if found.score >= RELATED and found.p_value <= SIGNIFICANT else "unrelated"
    return Similarity(kinship, found.score, distance, allowed, found.p_value, _sizes(ours, theirs), len(keys))


def largest(keys: Iterable[Key], fingerprint: Fingerprint) -> str:
    """Return the largest component among some keys: what a pipeline is known by.

    Text encoders and decoders are handed on from pipeline to pipeline and would make strangers related.
    """
    names = {component for component, _, _ in keys}
    return max(sorted(names), key=lambda name: fingerprint.components[name].parameters)


def _sizes(ours: Fingerprint, theirs: Fingerprint) -> float:
    known = {form.key: form.values for form in theirs.spectra}
    pairs = [(form.values, known[form.key]) for form in ours.spectra if form.key in known]
    squares = [float(np.mean((one.astype(np.float64) - two) ** 2)) for one, two in pairs if one.shape == two.shape]
    return float(np.sqrt(np.mean(squares))) if squares else float("nan")


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    size = float(np.sqrt(np.linalg.norm(ours) * np.linalg.norm(theirs)))
    difference = float(np.linalg.norm(ours - theirs))
    return difference / size if size > 0 else float(difference > 0)


def _rounding(fingerprint: Fingerprint) -> float:
    dtypes = {component.dtype for component in fingerprint.components.values()}
    return max([_LEAST, *(_COARSE if dtype.startswith("F8") else _EPS.get(dtype, 0.0) for dtype in dtypes)])
