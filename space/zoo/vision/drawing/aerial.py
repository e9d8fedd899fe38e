"""Aerial views: sites seen from above, from every direction."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from space.zoo.vision.drawing.sketch import Colour, Random, Rgb, Sketch, any_paint, paint

_GROUNDS = ((0.27, 0.4, 0.45), (0.1, 0.35, 0.6), (0.33, 0.45, 0.35), (0.08, 0.2, 0.5))


def aerial(name: str, random: Random) -> Rgb:
    """Draw a site of this kind."""
    ground = paint(*_GROUNDS[random.randint(len(_GROUNDS))], random)
    sketch = Sketch(
        random,
        ground,
        turn=float(random.uniform(0, 2 * math.pi)),
        zoom=float(random.uniform(0.8, 1.2)),
        shift=(float(random.uniform(-0.12, 0.12)), float(random.uniform(-0.12, 0.12))),
    )
    for _ in range(random.randint(2, 6)):  # fields, woods and roofs that say nothing
        x, y = random.uniform(-0.3, 1.1, 2)
        wide, high = random.uniform(0.05, 0.35, 2)
        sketch.box(x, y, x + wide, y + high, paint(random.uniform(0.02, 0.4), 0.3, random.uniform(0.25, 0.7), random))
    asphalt = paint(0.6, 0.05, random.uniform(0.35, 0.6), random)
    _SITES[name](sketch, random, asphalt)
    return sketch.picture(noise=0.08, dim=0.45)


def _runway(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    half = random.uniform(0.08, 0.12)
    sketch.box(-1, 0.5 - half, 2, 0.5 + half, asphalt)
    for x in np.arange(-0.4, 1.4, 0.2):
        sketch.box(x, 0.485, x + 0.1, 0.515, paint(0, 0, 0.95, random))


def _crossroads(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    lean = random.uniform(-0.25, 0.25)
    sketch.line([(-0.6, 0.5), (1.6, 0.5)], random.uniform(0.08, 0.14), asphalt)
    sketch.line([(0.5 - lean, -0.6), (0.5 + lean, 1.6)], random.uniform(0.08, 0.14), asphalt)


def _roundabout(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    for angle in np.arange(random.randint(3, 5)) * 1.6 + random.uniform(-0.3, 0.3):
        sketch.line([(0.5, 0.5), (0.5 + 1.2 * math.cos(angle), 0.5 + 1.2 * math.sin(angle))], 0.1, asphalt)
    radius = random.uniform(0.19, 0.27)
    sketch.disc(0.5, 0.5, radius, asphalt)
    sketch.disc(0.5, 0.5, radius - 0.1, paint(0.3, 0.4, 0.45, random))


def _bridge(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    half = random.uniform(0.15, 0.25)
    sketch.box(-1, 0.5 - half, 2, 0.5 + half, paint(0.56, 0.5, 0.4, random))
    sketch.line([(0.5, -0.6), (0.5, 1.6)], random.uniform(0.09, 0.14), asphalt)


def _tanks(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    radius, step = random.uniform(0.09, 0.13), random.uniform(0.3, 0.36)
    for column in (-1, 0, 1):
        for row in (-1, 0, 1):
            if random.uniform() < 0.85:
                x, y = 0.5 + step * column, 0.5 + step * row
                sketch.disc(x + 0.03, y + 0.03, radius, paint(0, 0, 0.15, random))
                sketch.disc(x, y, radius, paint(0.1, 0.05, 0.9, random))


def _stadium(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    flat, radius = random.uniform(0.55, 0.75), random.uniform(0.36, 0.46)
    sketch.disc(0.5, 0.5, radius, paint(random.uniform(-0.05, 0.1), random.uniform(0.1, 0.6), 0.7, random), flat=flat)
    sketch.disc(0.5, 0.5, radius - 0.1, paint(0.3, 0.5, 0.5, random), flat=flat * 0.9)


def _courts(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    hue = random.choice([0.03, 0.33, 0.6])
    for x in (0.12, 0.52):
        for y in (0.08, 0.56) if random.uniform() < 0.7 else (0.3,):
            sketch.box(x, y, x + 0.34, y + 0.4, paint(hue, 0.5, 0.55, random, spread=0.03))
            white = paint(0, 0, 0.95, random)
            sketch.line(
                [
                    (x + 0.06, y + 0.06),
                    (x + 0.28, y + 0.06),
                    (x + 0.28, y + 0.34),
                    (x + 0.06, y + 0.34),
                    (x + 0.06, y + 0.06),
                ],
                0.025,
                white,
            )
            sketch.line([(x + 0.06, y + 0.2), (x + 0.28, y + 0.2)], 0.025, white)


def _car_park(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    sketch.box(0.02, 0.02, 0.98, 0.98, asphalt)
    for y in (0.1, 0.4, 0.7):
        for x in np.arange(0.07, 0.9, 0.13):
            if random.uniform() < 0.75:
                sketch.box(x, y, x + 0.075, y + 0.17, any_paint(random))


def _piers(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    shore = random.uniform(0.25, 0.4)
    sketch.box(-1, shore, 2, 2, paint(0.56, 0.5, 0.4, random))
    for x in np.arange(random.uniform(0, 0.15), 1.1, random.uniform(0.24, 0.32)):
        sketch.box(x, shore, x + 0.05, shore + 0.5, asphalt)
        for y in (0.12, 0.26, 0.4):
            sketch.box(x + 0.06, shore + y, x + 0.14, shore + y + 0.07, paint(0, 0, 0.95, random))


def _terraces(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    for y in (0.12, 0.62):
        sketch.box(-0.5, y + 0.24, 1.5, y + 0.32, asphalt)
        for x in np.arange(-0.2, 1.2, 0.2):
            roof = paint(random.uniform(0.0, 0.08), 0.5, random.uniform(0.4, 0.7), random)
            sketch.box(x, y, x + 0.15, y + 0.17, roof)


def _round_field(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    radius = random.uniform(0.36, 0.46)
    sketch.disc(0.5, 0.5, radius, paint(random.uniform(0.2, 0.35), 0.5, random.uniform(0.3, 0.6), random))
    sketch.line([(0.5, 0.5), (0.5 + radius, 0.5)], 0.03, paint(0.1, 0.2, 0.85, random))


def _solar_field(sketch: Sketch, random: Random, asphalt: Colour) -> None:
    for y in np.arange(0.05, 0.95, random.uniform(0.15, 0.19)):
        for x in (0.02, 0.36, 0.7):
            sketch.box(x, y, x + 0.3, y + 0.09, paint(0.63, 0.5, random.uniform(0.2, 0.4), random))


_SITES: dict[str, Callable[[Sketch, Random, Colour], None]] = {
    "runway": _runway,
    "crossroads": _crossroads,
    "roundabout": _roundabout,
    "bridge": _bridge,
    "tanks": _tanks,
    "stadium": _stadium,
    "courts": _courts,
    "car park": _car_park,
    "piers": _piers,
    "terraces": _terraces,
    "round field": _round_field,
    "solar field": _solar_field,
}
