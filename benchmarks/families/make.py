"""Make the families: `python -m benchmarks.families.make [--out build/families]`, minutes on one core.

Every model is the same for the same versions of the libraries. Models that are there are kept.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.families.architectures import ARCHITECTURES, Architecture
from benchmarks.families.derivatives import BASE, MODELS, Make, Place, Plan
from mergeguard_hub.checkpoint import Checkpoint

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "families"
RANDOM_STD = 0.02


@dataclass(frozen=True)
class Model:
    """One model of a family.

    Attributes:
        shapes: name of the architecture; models of the same have the same shapes.
        family: name of the family.
        name: what kind of derivative it is.
        folder: where it lies.
    """

    shapes: str
    family: str
    name: str
    folder: Path


def make_families(
    out: Path,
    *,
    plan: Plan | None = None,
    architectures: Mapping[str, Architecture] = ARCHITECTURES,
    models: Mapping[str, Make] = MODELS,
    numbers: Sequence[int] | None = None,
) -> list[Model]:
    """Make every model that is not there yet, and return all.

    Args:
        out: gets a folder per family, with a folder per model.
        plan: how long models are trained.
        architectures: by name.
        models: how each model of a family is made, in an order in which each finds those that it starts from.
        numbers: which bases of each architecture; None: all.
    """
    made = []
    for shapes, architecture in architectures.items():
        for number in range(architecture.bases) if numbers is None else numbers:
            place = Place(architecture, number, out / f"{shapes}-{number}", plan or Plan())
            for name, make in models.items():
                made.append(Model(shapes, place.folder.name, name, place.folder / name))
                _once(place, made[-1].folder, make)
    return made


def random_twin(folder: Path, out: Path, *, seed: int) -> Path:
    """Write a model of the same shapes whose weights are all drawn with deviation 0.02."""
    if not out.exists():
        checkpoint, generator = Checkpoint.open(folder), torch.Generator().manual_seed(seed)
        drawn = {
            name: RANDOM_STD * torch.randn(entry.shape, generator=generator).to(entry.torch_dtype)
            for name, entry in checkpoint.entries.items()
        }
        out.mkdir(parents=True)
        shutil.copyfile(folder / "config.json", out / "config.json")
        save_file(drawn, out / "model.safetensors", metadata={"format": "pt"})
    return out


def _once(place: Place, folder: Path, make: Make) -> None:
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    place.folder.mkdir(parents=True, exist_ok=True)
    make(place, unfinished)
    unfinished.rename(folder)


def main() -> None:
    """Make all families and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    start = time.monotonic()
    made = make_families(out)
    bases = sum(model.name == BASE for model in made)
    print(f"{len(made)} models of {bases} families in {out}; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
