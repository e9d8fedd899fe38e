"""Whether one model contains another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.agreement import agreement
from mergeguard_hub.fingerprint.attribution import attribute, changes
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
    0.3  # least cosine of the changes of a merge and of its part: fine-tunes of one base reach 0.22 by themselves
)
PART = 0.1  # least weight that counts where other fine-tunes are given, our choice


@dataclass(frozen=True)
class Lineage:
    """What one model has to do with another.

    Attributes:
        relation: of the first model to the second. Without a base it is not known what a related model is.
        similarity: of the two as they are.
        weight: coefficient of the second's task vector in the first; None without a base.
        cosine: of what changed against the base, in [-1, 1]; None without a base.
        p_value: the chance of such agreement for models that know nothing of each other's weights; with a base, of the
            agreement of what changed against it.
        weights: coefficients of all known fine-tunes, {} without any.
    """

    relation: Relation
    similarity: Similarity
    weight: float | None
    cosine: float | None
    p_value: float
    weights: Mapping[str, float]

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
    "related" can be said. With it, what both changed against it is compared.

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
        return Lineage(named, similarity, None, None, similarity.p_value, {})
    keys = common_keys(model, of, base)
    ours, theirs, before = values_of(model), values_of(of), values_of(base)
    moved = agreement((key[2], ours[key] - before[key], theirs[key] - before[key]) for key in keys)
    name = of.name or "it"
    weights = attribute(model, base, {name: of, **{k: v for k, v in (others or {}).items() if k != name}}).weights
    cosine = _cosine(changes(model, base, keys), changes(of, base, keys))
    relation = _relation(similarity, compare(model, base), weights[name], cosine, moved.p_value, alone=not others)
    return Lineage(relation, similarity, weights[name], cosine, moved.p_value, weights)


def _relation(
    similarity: Similarity, to_base: Similarity, weight: float, cosine: float, p_value: float, *, alone: bool
) -> Relation:
    if similarity.kinship == "same":
        return "same model"
    if not similarity.related and not to_base.related:
        return "unrelated"
    if to_base.kinship == "same":
        return "its base"
    found = p_value <= SIGNIFICANT and (cosine >= CONTAINED if alone else weight >= PART)
    if found:
        return "fine-tune of it" if weight >= WHOLE else "merge that contains it"
    return "fine-tune of the same base"


def _cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    size = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float(ours @ theirs) / size if size > 0 else 0.0
