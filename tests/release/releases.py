"""Tiny models protected once and looked at by many tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.protection import Key
from mergeguard_hub.release import Report, protect_folder
from tests import tiny
from tests.checkpoint.folders import snapshot

KEY = Key(bytes(range(32)))
OTHER_KEY = Key(bytes(range(1, 33)))


@dataclass(frozen=True)
class Made:
    """A fine-tuned model, its base, and its release.

    Attributes:
        model: in memory.
        before: the bytes of every file of `raw` before anything was done.
        raw, base, release: folders.
        report: of protecting.
    """

    model: Any
    before: dict[str, bytes]
    raw: Path
    base: Path
    release: Path
    report: Report


Maker = Callable[[str, str, torch.dtype], Made]


def fine_tuned(
    family: str, dtype: torch.dtype = torch.float32, *, seed: int = 1, step: float = 0.05, **over: Any
) -> Any:
    """Return a model that lies close to the base model of its family, `tiny.FAMILIES[family](**over)`.

    Args:
        family: a name in `tiny.FAMILIES`.
        dtype: of the weights.
        seed: of the task; other seeds are other fine-tunes of the same base.
        step: how far it lies from the base, relative to the size of each weight.
        over: settings of the family.
    """
    model = tiny.FAMILIES[family](dtype=torch.float32, **over)
    generator = torch.Generator().manual_seed(1000 + seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(step * noise * parameter.std(correction=0))
            parameter.data = parameter.data.to(dtype)
    return model.eval()


def make(family: str, preset: str, dtype: torch.dtype, place: Path) -> Made:
    """Save a fine-tuned model and its base, and protect it."""
    model = fine_tuned(family, dtype)
    raw, base = tiny.save(model, place / "raw"), tiny.save(tiny.FAMILIES[family](dtype=dtype), place / "base")
    before = snapshot(raw)
    report = protect_folder(raw, place / "release", recipe=preset, key=KEY, base=base)
    return Made(model, before, raw, base, place / "release", report)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a model folder."""
    checkpoint = Checkpoint.open(folder, exclude=["mergeguard.json"])
    return {name: checkpoint.tensor(name).clone() for name in checkpoint.entries}


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return |one - other| / |one| in the Frobenius norm."""
    one, other = one.double(), other.double()
    return float((one - other).norm() / one.norm().clamp_min(1e-30))
