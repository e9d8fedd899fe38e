"""Which of some base models a model descends from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.compare import Similarity, compare
from mergeguard_hub.fingerprint.record import Fingerprint


@dataclass(frozen=True)
class NearestBase:
    """The base model that a model is most alike, whether or not it descends from it.

    Attributes:
        name: of the most similar base; None if none has the model's architecture.
        similarity: to that base.
        similarities: by name, of all bases of its architecture.
    """

    name: str | None
    similarity: Similarity | None
    similarities: Mapping[str, Similarity]

    @property
    def descends(self) -> bool:
        """Whether the model is that base or a relative of it, and not just less unlike it than the others."""
        return self.similarity is not None and self.similarity.related


def nearest_base(fingerprint: Fingerprint, bases: Mapping[str, Fingerprint]) -> NearestBase:
    """Find the base model that a model descends from.

    Args:
        fingerprint: the model.
        bases: base models by name; those of other architectures are passed over.

    Raises:
        FingerprintError: no bases are given.
    """
    if not bases:
        raise FingerprintError("no base models are given; give at least one.")
    found = {}
    for name, base in bases.items():
        try:
            found[name] = compare(fingerprint, base)
        except FingerprintError:
            continue
    if not found:
        return NearestBase(None, None, {})
    best = max(found, key=lambda name: found[name].score)
    return NearestBase(best, found[best], found)
