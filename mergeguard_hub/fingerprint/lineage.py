"""Whether one model contains another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.agreement import agreement
from mergeguard_hub.fingerprint.attribution import EXPLAINED, changes, fitted
from mergeguard_hub.fingerprint.compare import SIGNIFICANT, Similarity, compare
from mergeguard_hub.fingerprint.pairing import common_keys, values_of
from mergeguard_hub.fingerprint.record import Fingerprint

Relation = Literal[
    "same model",
    "fine-tune of it",
    "merge that contains it",
    "fine-tune of the same base",
    "its base",
    "related",
    "unrelated",
]
WHOLE = 0.85  # least weight of a model that another is a fine-tune of, rather than a merge with, our choice
CONTAINED = (
    0.3  # least cosine of the changes of a merge and of its part: fine-tunes of the zoo reach 0.22 by themselves
)
PART = 0.1  # least weight that counts where other fine-tunes are given and explain the changes, our choice


@dataclass(frozen=True)
class Lineage:
    """What one model has to do with another.

    Attributes:
        relation: of the first model to the second. Without a base it is not known what a related model is.
        similarity: of the two as they are.
        weight: coefficient of the second's task vector in the first; None without a base, or where the known fine-tunes
            explain less than half of what changed, see `Attribution`.
        cosine: of what changed against the base, in [-1, 1]; None without a base.
        p_value: that of `similarity`; with a base, the chance of such agreement for changes against it that have
            nothing to do with each other. Changes of fine-tunes of one base may, so the verdict also takes a cosine.
        weights: coefficients of all known fine-tunes; None where `weight` is.
        unexplained: share of what changed against the base that they do not explain, in [0, 1]; None without a base.
    """

    relation: Relation
    similarity: Similarity
    weight: float | None
    cosine: float | None
    p_value: float
    weights: Mapping[str, float] | None
    unexplained: float | None

    @property
    def contains(self) -> bool:
        """Whether the first model is the second, a fine-tune of it, or a merge with it."""
        return self.relation in ("same model", "fine-tune of it", "merge that contains it")


def lineage(
    model: Fingerprint,
    *,
    of: Fingerprint,
    base: Fingerprint | None = None,
    others: Mapping[str, Fingerprint] | None = None,
) -> Lineage:
    """Say what a model has to do with another: whether it is it, descends from it, or was merged with it.

    Two fine-tunes of one base are as alike as a fine-tune and a merge with it, so without the base nothing more than
    "related" can be said. With it, what both changed against it is compared. Whether it is contained is decided by the
    weight where the known fine-tunes, `others` among them, explain the changes, and by the cosine of changes otherwise:
    in a merge that a protection has ruined weights mean nothing, but what is left of the changes may still agree.

    Args:
        model: the model in question.
        of: the model that it may contain, an original or its release.
        base: the base model of both.
        others: further known fine-tunes of the base, by name, which then explain what they have in common with `of`.

    Raises:
        FingerprintError: the models are of different architectures, or `of` has the base's own weights.
    """
    similarity = compare(model, of)
    if base is None:
        if others:
            raise FingerprintError("other fine-tunes say something only beside their base; give the base too.")
        named: Relation = {"same": "same model", "related": "related", "unrelated": "unrelated"}[similarity.kinship]  # type: ignore[assignment]
        return Lineage(named, similarity, None, None, similarity.p_value, None, None)
    keys = common_keys(model, of, base)
    ours, theirs, before = values_of(model), values_of(of), values_of(base)
    moved = agreement((key[2], ours[key] - before[key], theirs[key] - before[key]) for key in keys)
    name = of.name or "it"
    known = {name: of, **{k: v for k, v in (others or {}).items() if k != name}}
    weights, unexplained = fitted(model, base, known)
    explained = unexplained <= EXPLAINED
    cosine = _cosine(changes(model, base, keys), changes(of, base, keys))
    enough = weights[name] >= PART if others and explained else cosine >= CONTAINED
    found = enough and moved.p_value <= SIGNIFICANT
    relation = _relation(similarity, compare(model, base), found=found, whole=weights[name] >= WHOLE)
    given = (weights[name], weights) if explained else (None, None)
    return Lineage(relation, similarity, given[0], cosine, moved.p_value, given[1], unexplained)


def _relation(similarity: Similarity, to_base: Similarity, *, found: bool, whole: bool) -> Relation:
    if similarity.kinship == "same":
        return "same model"
    if not similarity.related and not to_base.related:
        return "unrelated"
    if to_base.kinship == "same":
        return "its base"
    if found:
        return "fine-tune of it" if whole else "merge that contains it"
    return "fine-tune of the same base"


def _cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    size = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float(ours @ theirs) / size if size > 0 else 0.0
