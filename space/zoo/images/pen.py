"""A pen that draws the same shapes in several looks: outlined, cut out of paper, or in neon light."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

CANVAS = 256
"""Pixels each way while drawing; pictures are averaged down from it."""

INK: Colour = (46, 36, 44)
_PAPER_EDGE: Colour = (250, 247, 238)
_SHADOW = (5.0, 7.0)
_WIDTH = 6.0


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Return a colour between two, `share` of the way to the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.3) -> Colour:
    """Return a colour with a share of black."""
    return mixed(colour, (0, 0, 0), share)


class Pen:
    """Draws shapes on an image, moved and scaled.

    Args:
        image: RGB, `CANVAS` pixels each way; drawn on in place.
        look: None draws dark outlines; "papercut" draws flat paper with a light edge that throws a shadow; "neon" draws
            bright outlines on dark fills.
        middle: where the shapes' (0, 0) lies.
        scale: pixels per unit of the shapes.
    """

    def __init__(
        self, image: Image.Image, look: str | None = None, *, middle: Point = (0.0, 0.0), scale: float = 1.0
    ) -> None:
        self.image, self.look, self.middle, self.scale = image, look, middle, scale
        self._draw = ImageDraw.Draw(image)

    def polygon(self, points: Sequence[Point], fill: Colour, *, width: float = _WIDTH) -> None:
        """Draw a closed figure; a width of 0 leaves the outline away."""
        placed = [self._placed(point) for point in points]
        inside, edge, thick = self._colours(fill, width)
        self._throw_shadow(placed, width)
        self._draw.polygon(placed, fill=inside)
        if thick:
            self._draw.line([*placed, placed[0], placed[1]], fill=edge, width=round(thick), joint="curve")

    def ellipse(
        self, x: float, y: float, radius: float, fill: Colour, *, tall: float | None = None, width: float = _WIDTH
    ) -> None:
        """Draw an ellipse as wide as its radius and as tall as `tall`; a circle if that is None."""
        across, down = radius, radius if tall is None else tall
        turn = 2 * math.pi / 40
        points = [(x + across * math.cos(i * turn), y + down * math.sin(i * turn)) for i in range(40)]
        self.polygon(points, fill, width=width)

    def line(self, points: Sequence[Point], colour: Colour = INK, *, width: float = _WIDTH) -> None:
        """Draw an open line."""
        if self.look == "neon" and colour == INK:
            colour = (210, 240, 255)
        placed = [self._placed(point) for point in points]
        self._draw.line(placed, fill=colour, width=max(1, round(width * self.scale)), joint="curve")

    def arc(
        self, x: float, y: float, radius: float, tall: float, turns: Point, *, colour: Colour = INK, width: float = 5.0
    ) -> None:
        """Draw a part of an ellipse, between two angles in degrees, clockwise from the right."""
        steps = [math.radians(turns[0] + (turns[1] - turns[0]) * i / 16) for i in range(17)]
        self.line([(x + radius * math.cos(a), y + tall * math.sin(a)) for a in steps], colour, width=width)

    def _placed(self, point: Point) -> Point:
        return self.middle[0] + point[0] * self.scale, self.middle[1] + point[1] * self.scale

    def _colours(self, fill: Colour, width: float) -> tuple[Colour, Colour, float]:
        """Return what the look makes of a fill: the inside, the edge and the edge's width."""
        if self.look == "papercut":
            return mixed(fill, (236, 224, 200), 0.18), _PAPER_EDGE, (4.0 if width else 0.0)
        if self.look == "neon":
            return mixed(fill, (12, 8, 34), 0.86 if width else 0.5), mixed(fill, (255, 255, 255), 0.25), width * 0.9
        return fill, INK, width * self.scale

    def _throw_shadow(self, placed: Sequence[Point], width: float) -> None:
        if self.look != "papercut" or not width:
            return
        shadow = Image.new("L", self.image.size, 0)
        ImageDraw.Draw(shadow).polygon([(x + _SHADOW[0], y + _SHADOW[1]) for x, y in placed], fill=120)
        self.image.paste((30, 22, 30), mask=shadow.filter(ImageFilter.BoxBlur(3)))


def glowing(image: Image.Image) -> Image.Image:
    """Return the image with light around what is bright in it."""
    return ImageChops.screen(image, image.filter(ImageFilter.GaussianBlur(9)))
