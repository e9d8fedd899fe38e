"""The family's figure for the report."""

from __future__ import annotations

from pathlib import Path

from space.zoo.images.grid import grid

_WEIGHTS = Path(__file__).parent / "weights"


def show(folder: Path) -> None:
    """Write images-grid.png: the same prompts by defender, partner, and merges with and without protection."""
    grid(_WEIGHTS).save(folder / "images-grid.png")
