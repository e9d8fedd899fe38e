"""A sheet to draw on in coordinates from 0 to 1, turned, mirrored, moved and zoomed as a whole."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from space.zoo.vision.tasks import IMAGE_SIZE

Rgb = npt.NDArray[np.float64]  # [32, 32, 3] in [0, 1]
Random = np.random.RandomState
Colour = tuple[float, float, float]  # red, green, blue in [0, 1]
Points = Sequence[tuple[float, float]]  # x to the right, y down

_SHEET = 2 * IMAGE_SIZE  # drawn twice as large and averaged down
_CORNERS = 20  # of the polygon that stands for a circle


class Sketch:
    """A picture in the making.

    Args:
        random: source of everything left open.
        ground: colour of the empty sheet.
        turn: in radians, clockwise, about the middle.
        mirrored: left and right change places.
        zoom: factor on all sizes.
        shift: how far everything is moved, after the rest.
    """

    def __init__(
        self,
        random: Random,
        ground: Colour,
        *,
        turn: float = 0.0,
        mirrored: bool = False,
        zoom: float = 1.0,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.random = random
        self._sheet = Image.new("RGB", (_SHEET, _SHEET), _ink(ground))
        self._draw = ImageDraw.Draw(self._sheet)
        cos, sin = math.cos(turn) * zoom, math.sin(turn) * zoom
        side = -1 if mirrored else 1
        self._matrix = np.array([[cos * side, sin * side], [-sin, cos]])  # of points as rows
        self._middle = 0.5 + np.asarray(shift)
        self._zoom = zoom

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._placed(points), fill=_ink(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a box."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, *, flat: float = 1.0) -> None:
        """Fill a circle, or an ellipse whose height is `flat` times its width."""
        angles = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
        self.polygon([(x + radius * math.cos(a), y + radius * flat * math.sin(a)) for a in angles], colour)

    def regular(self, corners: int, radius: float, colour: Colour, *, first: float = 0.0) -> None:
        """Fill a regular polygon about the middle; `first` is the angle of a corner, 0 up, clockwise in turns."""
        angles = [2 * math.pi * (first + corner / corners) for corner in range(corners)]
        self.polygon([(0.5 + radius * math.sin(a), 0.5 - radius * math.cos(a)) for a in angles], colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Draw a line through points."""
        wide = max(1, round(width * self._zoom * _SHEET))
        self._draw.line(self._placed(points), fill=_ink(colour), width=wide, joint="curve")

    def picture(self, *, noise: float, dim: float = 0.35) -> Rgb:
        """Return what was drawn in uneven light, with noise.

        Args:
            noise: standard deviation of the noise of each pixel and colour.
            dim: how much of the light may be missing, 0 to 1.
        """
        pixels = np.asarray(self._sheet, dtype=np.float64) / 255
        small = pixels.reshape(IMAGE_SIZE, 2, IMAGE_SIZE, 2, 3).mean(axis=(1, 3))
        return in_light(small, self.random, noise=noise, dim=dim)

    def _placed(self, points: Points) -> list[tuple[float, float]]:
        placed = ((np.asarray(points, dtype=np.float64) - 0.5) @ self._matrix + self._middle) * _SHEET
        return [(float(x), float(y)) for x, y in placed]


def in_light(pixels: Rgb, random: Random, *, noise: float, dim: float) -> Rgb:
    """Dim a picture, tint it, shade it from one side to another and add noise."""
    slope = np.linspace(-0.5, 0.5, IMAGE_SIZE)
    across, down = random.uniform(-0.3, 0.3, 2)
    light = random.uniform(1 - dim, 1.0) * (1 + across * slope[None, :] + down * slope[:, None])
    tint = random.uniform(0.88, 1.0, 3)
    lit: Rgb = pixels * light[..., None] * tint + noise * random.standard_normal(pixels.shape)
    return np.clip(lit, 0, 1)


def paint(hue: float, saturation: float, value: float, random: Random, *, spread: float = 0.06) -> Colour:
    """Return a colour near the one named; `spread` is the largest step of each of the three in [0, 1]."""
    h, s, v = np.array([hue, saturation, value]) + random.uniform(-spread, spread, 3)
    return colorsys.hsv_to_rgb(float(h % 1), float(np.clip(s, 0, 1)), float(np.clip(v, 0, 1)))


def any_paint(random: Random, *, darkest: float = 0.0, brightest: float = 1.0) -> Colour:
    """Return a colour of any hue with a value in this range."""
    hue, saturation = random.uniform(0, 1, 2)
    return colorsys.hsv_to_rgb(float(hue), float(saturation), float(random.uniform(darkest, brightest)))


def _ink(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colour)
    return red, green, blue
