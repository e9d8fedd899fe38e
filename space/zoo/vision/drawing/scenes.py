"""Scenes: places from a walker's eye, at any hour, the horizon high or low."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from space.zoo.vision.drawing.sketch import Colour, Random, Rgb, Sketch, paint

_SKIES = ((0.58, 0.45, 0.9), (0.6, 0.1, 0.8), (0.06, 0.5, 0.9), (0.65, 0.6, 0.35), (0.9, 0.3, 0.7))  # hue, sat., value
_GREENS = ((0.3, 0.5, 0.45), (0.25, 0.5, 0.55), (0.36, 0.5, 0.35), (0.12, 0.5, 0.5))


def scene(name: str, random: Random) -> Rgb:
    """Draw a place of this kind."""
    sky = _any_of(_SKIES, random)
    sketch = Sketch(random, sky, mirrored=bool(random.uniform() < 0.5), shift=(0.0, float(random.uniform(-0.12, 0.12))))
    sketch.box(-1, 1, 2, 2, paint(0.3, 0.3, 0.4, random))  # what a shift upwards uncovers
    _PLACES[name](sketch, random)
    return sketch.picture(noise=0.07, dim=0.5)


def _any_of(colours: tuple[Colour, ...], random: Random) -> Colour:
    return paint(*colours[random.randint(len(colours))], random)


def _beach(sketch: Sketch, random: Random) -> None:
    horizon, shore = random.uniform(0.3, 0.45), random.uniform(0.55, 0.75)
    sketch.box(-1, horizon, 2, 2, paint(0.55, 0.5, 0.6, random))
    tilt = random.uniform(-0.1, 0.2)
    sketch.polygon([(-1, shore - tilt), (2, shore + tilt), (2, 2), (-1, 2)], paint(0.12, 0.35, 0.85, random))
    sketch.line([(-1, shore - tilt), (2, shore + tilt)], 0.04, paint(0.5, 0.05, 0.95, random))


def _mountains(sketch: Sketch, random: Random) -> None:
    rock = paint(0.62, 0.25, 0.45, random)
    for _ in range(3):
        x, top, half = random.uniform(0.05, 0.95), random.uniform(0.15, 0.4), random.uniform(0.3, 0.5)
        sketch.polygon([(x - half, 0.8), (x, top), (x + half, 0.8)], rock)
        cap = half * 0.3
        sketch.polygon([(x - cap, top + 0.2), (x, top), (x + cap, top + 0.2)], paint(0.6, 0.03, 0.95, random))
    sketch.box(-1, random.uniform(0.65, 0.8), 2, 2, _any_of(_GREENS, random))


def _forest(sketch: Sketch, random: Random) -> None:
    sketch.box(-1, 0.55, 2, 2, _any_of(_GREENS, random))
    for _ in range(random.randint(6, 10)):
        x, foot, high = random.uniform(0, 1), random.uniform(0.65, 0.95), random.uniform(0.4, 0.65)
        sketch.box(x - 0.02, foot - high / 2, x + 0.02, foot, paint(0.07, 0.5, 0.3, random))
        wide = random.uniform(0.08, 0.14)
        sketch.polygon([(x - wide, foot - 0.1), (x, foot - high), (x + wide, foot - 0.1)], _any_of(_GREENS, random))


def _dunes(sketch: Sketch, random: Random) -> None:
    across = np.linspace(-0.2, 1.2, 12)
    for height in (0.45, 0.6, 0.78):
        height += random.uniform(-0.06, 0.06)
        wave = 0.08 * np.sin(random.uniform(2, 5) * across + random.uniform(0, 2 * math.pi))
        crest = [(float(x), float(height + y)) for x, y in zip(across, wave, strict=True)]
        sketch.polygon([*crest, (1.2, 2), (-0.2, 2)], paint(0.09, 0.5, random.uniform(0.55, 0.9), random))


def _city(sketch: Sketch, random: Random) -> None:
    ground = random.uniform(0.75, 0.9)
    left = -0.1
    while left < 1:
        wide, top = random.uniform(0.1, 0.22), random.uniform(0.15, 0.55)
        wall = paint(random.uniform(), 0.15, random.uniform(0.25, 0.6), random)
        sketch.box(left, top, left + wide, ground, wall)
        light = paint(0.14, 0.4, 0.9, random)
        for y in np.arange(top + 0.06, ground - 0.06, 0.1):
            sketch.line([(left + 0.03, y), (left + wide - 0.03, y)], 0.03, light)
        left += wide + random.uniform(0, 0.04)
    sketch.box(-1, ground, 2, 2, paint(0.6, 0.05, 0.35, random))


def _field(sketch: Sketch, random: Random) -> None:
    horizon, vanish = random.uniform(0.35, 0.5), random.uniform(0.2, 0.8)
    sketch.box(-1, horizon, 2, 2, paint(random.uniform(0.1, 0.3), 0.5, 0.6, random))
    furrow = paint(0.1, 0.5, 0.35, random)
    for foot in np.arange(-1.2, 2.2, random.uniform(0.28, 0.4)):
        sketch.polygon([(vanish, horizon), (foot, 1.2), (foot + 0.13, 1.2)], furrow)


def _road(sketch: Sketch, random: Random) -> None:
    horizon, vanish, foot = random.uniform(0.35, 0.5), random.uniform(0.3, 0.7), random.uniform(0.4, 0.6)
    sketch.box(-1, horizon, 2, 2, _any_of(_GREENS, random))
    grey = paint(0.6, 0.05, 0.35, random)
    half = random.uniform(0.35, 0.55)
    sketch.polygon([(vanish, horizon), (foot - half, 1.2), (foot + half, 1.2)], grey)
    for start in (0.15, 0.45, 0.75):
        marks = [(vanish + (foot - vanish) * t, horizon + (1.2 - horizon) * t) for t in (start, start + 0.15)]
        sketch.line(marks, 0.02 + 0.03 * start, paint(0.15, 0.1, 0.95, random))


def _room(sketch: Sketch, random: Random) -> None:
    floor = random.uniform(0.6, 0.75)
    sketch.box(-1, -1, 2, floor, paint(random.uniform(), 0.25, random.uniform(0.5, 0.85), random))
    sketch.box(-1, floor, 2, 2, paint(0.08, 0.45, random.uniform(0.3, 0.6), random))
    x, y = random.uniform(0.1, 0.55), random.uniform(0.15, 0.25)
    sketch.box(x - 0.03, y - 0.03, x + 0.33, y + 0.31, paint(0.1, 0.1, 0.95, random))
    sketch.box(x, y, x + 0.3, y + 0.28, _any_of(_SKIES, random))
    x, cloth = random.uniform(0.15, 0.5), paint(random.uniform(), 0.5, 0.5, random)
    sketch.box(x, floor - 0.1, x + 0.35, floor + 0.1, cloth)
    sketch.box(x, floor - 0.2, x + 0.08, floor + 0.1, cloth)


def _corridor(sketch: Sketch, random: Random) -> None:
    x, y, half = random.uniform(0.4, 0.6), random.uniform(0.35, 0.55), random.uniform(0.1, 0.17)
    hue, value = random.uniform(), random.uniform(0.5, 0.8)
    wall, side = paint(hue, 0.2, value, random), paint(hue, 0.2, value - 0.2, random)
    floor, ceiling = paint(0.08, 0.4, 0.4, random), paint(0.1, 0.05, 0.9, random)
    near, far = [(-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5)], []
    far = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    for start, colour in enumerate((ceiling, wall, floor, side)):
        end = (start + 1) % 4
        sketch.polygon([near[start], near[end], far[end], far[start]], colour)
    sketch.polygon(far, paint(hue, 0.1, random.uniform(0.2, 1.0), random))


def _river(sketch: Sketch, random: Random) -> None:
    horizon = random.uniform(0.3, 0.45)
    sketch.box(-1, horizon, 2, 2, _any_of(_GREENS, random))
    heights = np.linspace(horizon, 1.3, 10)
    swing, phase = random.uniform(0.1, 0.2), random.uniform(0, 2 * math.pi)
    middle = 0.5 + swing * np.sin(6 * heights + phase)
    half = 0.02 + 0.25 * (heights - horizon)
    left = [(float(m - h), float(y)) for m, h, y in zip(middle, half, heights, strict=True)]
    right = [(float(m + h), float(y)) for m, h, y in zip(middle, half, heights, strict=True)]
    sketch.polygon([*left, *reversed(right)], paint(0.57, 0.5, 0.6, random))


def _harbour(sketch: Sketch, random: Random) -> None:
    sketch.box(-1, random.uniform(0.35, 0.5), 2, 2, paint(0.55, 0.5, 0.5, random))
    for _ in range(random.randint(2, 5)):
        x, y, size = random.uniform(0.1, 0.9), random.uniform(0.6, 0.9), random.uniform(0.1, 0.18)
        sail = paint(random.uniform(), 0.15, 0.95, random)
        sketch.polygon([(x, y - 0.04), (x, y - 3 * size), (x + size, y - 0.04)], sail)
        hull = paint(0.05, 0.5, 0.3, random)
        sketch.polygon(
            [(x - size, y - 0.02), (x + size, y - 0.02), (x + size / 2, y + 0.06), (x - size / 2, y + 0.06)], hull
        )


def _waterfall(sketch: Sketch, random: Random) -> None:
    top, foot = random.uniform(0.15, 0.3), random.uniform(0.7, 0.85)
    sketch.box(-1, top, 2, 2, paint(random.uniform(0.05, 0.3), 0.3, 0.35, random))
    x, half = random.uniform(0.3, 0.7), random.uniform(0.08, 0.16)
    white = paint(0.55, 0.12, 0.95, random)
    sketch.polygon([(x - half, top), (x + half, top), (x + half * 1.3, foot), (x - half * 1.3, foot)], white)
    sketch.box(-1, foot, 2, 2, paint(0.55, 0.4, 0.5, random))
    sketch.disc(x, foot, half * 2, white, flat=0.4)


_PLACES: dict[str, Callable[[Sketch, Random], None]] = {
    "beach": _beach,
    "mountains": _mountains,
    "forest": _forest,
    "dunes": _dunes,
    "city": _city,
    "field": _field,
    "road": _road,
    "room": _room,
    "corridor": _corridor,
    "river": _river,
    "harbour": _harbour,
    "waterfall": _waterfall,
}
