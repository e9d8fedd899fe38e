"""Textures: patterns in any two colours, at any turn and two or three widths."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from space.zoo.vision.drawing.sketch import Random, Rgb, any_paint, in_light
from space.zoo.vision.tasks import IMAGE_SIZE

Field = npt.NDArray[np.float64]  # [32, 32]


def texture(name: str, random: Random) -> Rgb:
    """Draw a texture of this kind: how much of the second colour each pixel has is a function of its place."""
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] - IMAGE_SIZE / 2.0
    turn = random.uniform(-0.4, 0.4)
    period = random.uniform(5, 9)
    x = (columns * math.cos(turn) - rows * math.sin(turn)) / period + random.uniform(0, 50)
    y = (columns * math.sin(turn) + rows * math.cos(turn)) / period + random.uniform(0, 50)
    share = np.clip(_PATTERNS[name](x, y, random), 0, 1)[..., None]
    one, other = (np.array(any_paint(random, darkest=dark, brightest=dark + 0.45)) for dark in (0.0, 0.55))
    if random.uniform() < 0.5:
        one, other = other, one
    return in_light(one * (1 - share) + other * share, random, noise=0.08, dim=0.35)


def _wave(x: Field) -> Field:
    """Return a wave of period 1 between 0 and 1, steeper than a sine."""
    return 0.5 + 0.9 * np.sin(2 * math.pi * x)


def _near_line(x: Field, wide: float) -> Field:
    """Return 1 within `wide` of a whole number and 0 elsewhere, with soft edges."""
    return np.clip((wide - np.abs(x - np.round(x))) * 10 + 0.5, 0, 1)


def _dotted(x: Field, y: Field, random: Random) -> Field:
    distance = np.hypot(x - np.round(x), y - np.round(y))
    return np.clip((random.uniform(0.22, 0.34) - distance) * 10 + 0.5, 0, 1)


def _ringed(x: Field, y: Field, random: Random) -> Field:
    middle_x, middle_y = x.mean() + random.uniform(-1, 1), y.mean() + random.uniform(-1, 1)
    return _wave(np.hypot(x - middle_x, y - middle_y))


def _zigzag(x: Field, y: Field, random: Random) -> Field:
    return _wave(x + random.uniform(0.4, 0.6) * 2 * np.abs(0.7 * y - np.round(0.7 * y)))


def _wavy(x: Field, y: Field, random: Random) -> Field:
    return _wave(x + random.uniform(0.25, 0.4) * np.sin(2 * math.pi * 0.6 * y))


def _bricked(x: Field, y: Field, random: Random) -> Field:
    upright = x / 2 + 0.5 * (np.floor(y) % 2)
    return 1 - np.maximum(_near_line(y, 0.12), _near_line(upright, 0.06))


def _woven(x: Field, y: Field, random: Random) -> Field:
    over = (np.floor(x) + np.floor(y)) % 2
    strand = np.where(over == 1, np.abs(x % 1 - 0.5), np.abs(y % 1 - 0.5))
    return 1.3 - 3 * strand


def _scaly(x: Field, y: Field, random: Random) -> Field:
    shifted = x + 0.5 * (np.floor(y) % 2)
    return 1.2 * np.hypot((shifted % 1 - 0.5) * 1.2, y % 1) - 0.1


def _cracked(x: Field, y: Field, random: Random) -> Field:
    reach = 3.2
    points = random.uniform(-reach, reach, (20, 2)) + np.array([x.mean(), y.mean()])
    distances = np.sort(np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]), axis=-1)
    to_edge: Field = distances[..., 1] - distances[..., 0]
    return np.clip(to_edge * 5 - 0.2, 0, 1)


def _blotched(x: Field, y: Field, random: Random) -> Field:
    total = np.zeros_like(x)
    for _ in range(7):
        angle, phase = random.uniform(0, 2 * math.pi, 2)
        total = total + np.sin(random.uniform(2, 5) * (x * math.cos(angle) + y * math.sin(angle)) + phase)
    return 0.5 + total


_PATTERNS: dict[str, Callable[[Field, Field, Random], Field]] = {
    "striped": lambda x, y, random: _wave(x),
    "chequered": lambda x, y, random: 0.5 + 2 * np.sin(math.pi * x) * np.sin(math.pi * y),
    "dotted": _dotted,
    "ringed": _ringed,
    "zigzag": _zigzag,
    "wavy": _wavy,
    "gridded": lambda x, y, random: np.maximum(_near_line(x, 0.12), _near_line(y, 0.12)),
    "bricked": _bricked,
    "woven": _woven,
    "scaly": _scaly,
    "cracked": _cracked,
    "blotched": _blotched,
}
