"""The family's figures for the report."""

from __future__ import annotations

from pathlib import Path

from space.zoo.images.grid import grid
from space.zoo.images.measure import pairs_in

_WEIGHTS = Path(__file__).parent / "weights"


def show(folder: Path) -> None:
    """Write images-grid-DEFENDER.png for each pair: the same prompts by both models, and by merges of them."""
    for defender in pairs_in(_WEIGHTS):
        grid(_WEIGHTS, defender).save(folder / f"images-grid-{defender}.png")
