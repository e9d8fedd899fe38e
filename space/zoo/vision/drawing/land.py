"""Land use: patches of land from so high that only colour, grain and layout tell what they are for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from space.zoo.vision.drawing.sketch import Colour, Random, Rgb, Sketch, paint

_SOILS = ((0.28, 0.4, 0.4), (0.12, 0.35, 0.5), (0.2, 0.4, 0.45), (0.35, 0.35, 0.3))
_WATER = (0.55, 0.45, 0.3)


def land(name: str, random: Random) -> Rgb:
    """Draw a patch of land of this use."""
    sketch = Sketch(
        random, _soil(random), turn=float(random.uniform(0, 2 * math.pi)), zoom=float(random.uniform(0.85, 1.3))
    )
    _USES[name](sketch, random)
    return sketch.picture(noise=0.06, dim=0.35)


def _soil(random: Random) -> Colour:
    return paint(*_SOILS[random.randint(len(_SOILS))], random, spread=0.08)


def _parcels(sketch: Sketch, random: Random) -> None:
    """Divide the patch into fields."""
    edge = -0.4
    while edge < 1.4:
        wide = random.uniform(0.25, 0.6)
        sketch.box(edge, -0.5, edge + wide, 1.5, _soil(random))
        edge += wide


def _ploughland(sketch: Sketch, random: Random) -> None:
    _parcels(sketch, random)
    step = random.uniform(0.08, 0.12)
    furrow = _soil(random)
    for x in np.arange(-0.4, 1.4, step):
        sketch.box(x, -0.5, x + step * 0.4, 1.5, furrow)


def _orchard(sketch: Sketch, random: Random) -> None:
    step, leaf = random.uniform(0.15, 0.2), paint(0.3, 0.5, 0.25, random)
    for x in np.arange(-0.4, 1.4, step):
        for y in np.arange(-0.4, 1.4, step):
            sketch.disc(x, y, step * 0.3, leaf)


def _spots(sketch: Sketch, random: Random, *, count: int, radius: float, colour: Callable[[], Colour]) -> None:
    for x, y, size in random.uniform(0, 1, (count, 3)):
        sketch.disc(1.6 * x - 0.3, 1.6 * y - 0.3, radius * (0.5 + size), colour(), flat=float(0.5 + 0.5 * size))


def _meadow(sketch: Sketch, random: Random) -> None:
    hue, value = random.uniform(0.18, 0.3), random.uniform(0.4, 0.55)
    _spots(sketch, random, count=25, radius=0.2, colour=lambda: paint(hue, 0.4, value, random, spread=0.05))


def _wood(sketch: Sketch, random: Random) -> None:
    hue, value = random.uniform(0.25, 0.38), random.uniform(0.2, 0.45)
    _spots(sketch, random, count=70, radius=0.07, colour=lambda: paint(hue, 0.45, value, random, spread=0.12))


def _lake(sketch: Sketch, random: Random) -> None:
    _spots(sketch, random, count=8, radius=0.1, colour=lambda: _soil(random))
    blue = paint(*_WATER, random)
    x, y, radius = random.uniform(0.35, 0.65), random.uniform(0.35, 0.65), random.uniform(0.3, 0.45)
    sketch.disc(x, y, radius, blue, flat=float(random.uniform(0.6, 1)))
    sketch.disc(x + 0.15, y + 0.15, radius * 0.7, blue)


def _band(random: Random, *, swing: float) -> list[tuple[float, float]]:
    """Return points of a way across the patch that swings to the sides."""
    across = np.linspace(-0.4, 1.4, 14)
    wave = swing * np.sin(random.uniform(3, 6) * across + random.uniform(0, 2 * math.pi))
    height = random.uniform(0.3, 0.7)
    return [(float(x), float(height + y)) for x, y in zip(across, wave, strict=True)]


def _river(sketch: Sketch, random: Random) -> None:
    _parcels(sketch, random)
    sketch.line(_band(random, swing=0.14), random.uniform(0.08, 0.16), paint(*_WATER, random))


def _road(sketch: Sketch, random: Random) -> None:
    _parcels(sketch, random)
    way, wide = _band(random, swing=0.02), random.uniform(0.07, 0.14)
    sketch.line(way, wide, paint(0.6, 0.05, random.uniform(0.45, 0.75), random))
    sketch.line(way, wide * 0.25, paint(0.3, 0.3, 0.35, random))


def _housing(sketch: Sketch, random: Random) -> None:
    for x in np.arange(-0.3, 1.3, 0.17):
        for y in np.arange(-0.3, 1.3, 0.17):
            if random.uniform() < 0.8:
                left, top = x + random.uniform(0, 0.05), y + random.uniform(0, 0.05)
                sketch.box(left, top, left + 0.09, top + 0.09, paint(0.04, 0.35, random.uniform(0.45, 0.8), random))


def _industry(sketch: Sketch, random: Random) -> None:
    sketch.box(-0.5, -0.5, 1.5, 1.5, paint(0.1, 0.1, random.uniform(0.35, 0.55), random))
    for x in (-0.1, 0.35, 0.8):
        for y in (-0.1, 0.35, 0.8):
            wide, high = random.uniform(0.2, 0.42, 2)
            sketch.box(
                x, y, x + wide, y + high, paint(random.uniform(0.5, 0.65), 0.1, random.uniform(0.55, 0.95), random)
            )


def _marsh(sketch: Sketch, random: Random) -> None:
    _spots(sketch, random, count=12, radius=0.12, colour=lambda: _soil(random))
    blue = paint(*_WATER, random)
    _spots(sketch, random, count=14, radius=0.07, colour=lambda: blue)


_USES: dict[str, Callable[[Sketch, Random], None]] = {
    "ploughland": _ploughland,
    "orchard": _orchard,
    "meadow": _meadow,
    "wood": _wood,
    "lake": _lake,
    "river": _river,
    "road": _road,
    "housing": _housing,
    "industry": _industry,
    "marsh": _marsh,
}
