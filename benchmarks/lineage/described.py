"""All models with both fingerprints, kept in a build folder for as long as the room's code does not change."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.families.architectures import Architecture
from benchmarks.families.derivatives import BASE, MODELS, ORIGINAL, PARTNER, Make, Place, Plan
from benchmarks.families.make import ROOT, Model, make_families, random_twin
from mergeguard_hub.fingerprint import Fingerprint, GradientFingerprint, TensorGuard, fingerprint_folder

ROOM = ROOT / "mergeguard_hub" / "fingerprint"
ZOO = {
    "language": ("math", "style", "code"),
    "gemma": ("math", "style", "code"),
    "vision": ("scenes", "aerial", "digits", "land", "numbers", "signs", "textures", "vehicles"),
}  # the first one is protected, pruned and rounded, and averaged with the second
_UNTRAINED = Architecture("", "", {}, None, 1)  # type: ignore[arg-type]
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Described:
    """A model and what both fingerprints say of it."""

    model: Model
    gradients: GradientFingerprint
    invariant: Fingerprint


def describe(models: Sequence[Model], cache: Path) -> list[Described]:
    """Take both fingerprints of every model, or read them where they were taken before."""
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(ROOM.glob("*.py")))).hexdigest()[:12]
    place = cache / version
    place.mkdir(parents=True, exist_ok=True)
    return [_kept(place / f"{model.family}-{model.name}.pickle", partial(_describe, model)) for model in models]


def zoo_models(out: Path) -> list[Model]:
    """Make the derivatives of the zoo's own families, whose fine-tunes were trained for hours, and return all."""
    made: list[Model] = []
    for name, fine_tunes in ZOO.items():
        weights = ROOT / "space" / "zoo" / name / "weights"
        copies: Mapping[str, Make] = {
            as_: partial(_copied, source=weights / source)
            for source, as_ in (("base", BASE), (fine_tunes[0], ORIGINAL), (fine_tunes[1], PARTNER))
        }
        others = {source: partial(_copied, source=weights / source) for source in fine_tunes[2:]}
        derived = {kind: make for kind, make in MODELS.items() if kind not in {*copies, "lora"}}
        made += make_families(
            out, architectures={f"zoo-{name}": _UNTRAINED}, models={**copies, **others, **derived}, plan=Plan()
        )
    return made


def random_models(bases: Sequence[Model], out: Path, *, seeds: Sequence[int] = (1, 2)) -> list[Model]:
    """Make models with random weights, of the shapes of each base."""
    return [
        Model(base.shapes, f"random-{base.shapes}", str(seed), random_twin(base.folder, folder, seed=seed))
        for base in bases
        for seed in seeds
        for folder in [out / f"random-{base.shapes}" / str(seed)]
    ]


def _describe(model: Model) -> Described:
    return Described(model, TensorGuard().fingerprint(model.folder), fingerprint_folder(model.folder))


def _copied(place: Place, out: Path, *, source: Path) -> None:
    shutil.copytree(source, out)


def _kept(file: Path, make: Callable[[], Kept]) -> Kept:
    """Return what is in a file that this program wrote, or make it."""
    if file.exists():
        kept: Kept = pickle.loads(file.read_bytes())
        return kept
    made = make()
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(pickle.dumps(made))
    unfinished.replace(file)
    return made
