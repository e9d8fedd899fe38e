"""Which base model is each of some models a derivative of, by either fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.families import Families
from mergeguard_hub.fingerprint.nearest import nearest_base
from mergeguard_hub.fingerprint.reading import fingerprint_folder
from mergeguard_hub.fingerprint.record import Fingerprint
from mergeguard_hub.fingerprint.tensorguard import TensorGuard

Paths = Mapping[str, Path]


@dataclass(frozen=True)
class Placement:
    """Where a model was put.

    Attributes:
        base: name of the base that it was put to; None if it descends from none of them.
        scores: by name of the base: how alike they are, in [-1, 1], by the invariant fingerprint, of the bases of the
            model's architecture; the distance to the base's group, at least 0, by TensorGuard.
        p_value: the chance of such likeness for independently trained models, see `Similarity`; None by TensorGuard,
            which has none, or if no base has the model's architecture.
    """

    base: str | None
    scores: Mapping[str, float]
    p_value: float | None


def by_invariants(models: Paths, bases: Paths) -> dict[str, Placement]:
    """Put each model to the base that it descends from, or to none, by the invariant fingerprint.

    Args:
        models: folders, or fingerprints that `mergeguard fingerprint` wrote, by name.
        bases: the same of the base models.

    Raises:
        FingerprintError, CheckpointError: one cannot be read or described, or a name is among both.
    """
    _check_names(models, bases)
    known = {name: _read(path) for name, path in bases.items()}
    placed = {}
    for name, path in models.items():
        found = nearest_base(_read(path), known)
        scores = {base: similarity.score for base, similarity in found.similarities.items()}
        p_value = found.similarity.p_value if found.similarity is not None else None
        placed[name] = Placement(found.name if found.descends else None, scores, p_value)
    return placed


def by_tensorguard(models: Paths, bases: Paths) -> dict[str, Placement]:
    """Put each model to a base by TensorGuard: all are grouped together, and every model gets a base.

    Args:
        models: folders by name.
        bases: folders of the base models by name, two at least.

    Raises:
        FingerprintError, CheckpointError: one cannot be read or described, or see `Families.fit`.
    """
    _check_names(models, bases)
    for path in (*models.values(), *bases.values()):
        if path.is_file():
            raise FingerprintError(f"TensorGuard reads weights, and {path} is a file. Give the folder of the model.")
    guard = TensorGuard()
    described = {name: guard.fingerprint(path) for name, path in models.items()}
    found = Families.fit({name: guard.fingerprint(path) for name, path in bases.items()}, described)
    return {name: Placement(found.labels[name], found.distances(one), None) for name, one in described.items()}


METHODS: Mapping[str, Callable[[Paths, Paths], dict[str, Placement]]] = {
    "invariant": by_invariants,
    "tensorguard": by_tensorguard,
}


def _check_names(models: Paths, bases: Paths) -> None:
    both = sorted(set(models) & set(bases))
    if both:
        raise FingerprintError(f"{both[0]} is among the bases and among the models to sort; give it once.")


def _read(path: Path) -> Fingerprint:
    return Fingerprint.load(path) if path.is_file() else fingerprint_folder(path)
