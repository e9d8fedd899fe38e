"""Tensors that several trainings use, kept beside the weights in a folder that git does not see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

Kept = TypeVar("Kept", Tensor, tuple[Tensor, ...])


def cached(folder: Path, name: str, make: Callable[[], Kept]) -> Kept:
    """Return a tensor, or a tuple of them, that is made only the first time."""
    file = folder / f"{name}.pt"
    if file.exists():
        kept: Kept = torch.load(file, weights_only=True)
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    made = make()
    unfinished = file.with_suffix(".part")
    torch.save(made, unfinished)
    unfinished.replace(file)
    return made
