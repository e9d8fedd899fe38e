"""The scenes and the subjects, drawn on a canvas of 256 x 256."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image

from space.zoo.images.captions import COLOURS
from space.zoo.images.pen import CANVAS, INK, Colour, Pen, darker, mixed

_SKIES: dict[str, tuple[Colour, Colour]] = {
    "by day": (((88, 172, 244)), (204, 234, 252)),
    "at night": ((14, 16, 58), (56, 54, 126)),
    "at sunset": ((112, 54, 136), (254, 170, 86)),
    "in the snow": ((158, 178, 204), (214, 224, 236)),
    "by the sea": ((126, 210, 238), (224, 246, 250)),
}
_STARS = ((44, 92), (104, 26), (150, 48), (208, 24), (234, 76), (22, 132), (238, 138), (128, 84))
_FLAKES = ((26, 30), (84, 58), (138, 22), (200, 46), (236, 94), (22, 120), (234, 160), (176, 86))
_CREAM: Colour = (255, 252, 238)


def draw_scene(scene: str, look: str | None, chance: random.Random) -> Image.Image:
    """Draw a scene without a subject."""
    image = _sky(*_SKIES[scene], look)
    pen = Pen(image, look)
    soft = 5.0 if look else 0.0  # a look has edges everywhere
    if scene == "by day":
        pen.ellipse(218, 38, 25, (255, 226, 84), width=soft)
        left = 46 + chance.uniform(-10, 10)
        for x, y, radius in ((-20, 6, 14), (20, 6, 14), (0, 0, 19)):
            pen.ellipse(left + x, 42 + y, radius, (255, 255, 255), width=soft)
        pen.ellipse(128, 292, 210, (112, 196, 86), tall=106, width=soft)
    elif scene == "at night":
        _moon(pen, soft)
        for x, y in _STARS:
            pen.ellipse(x, y, 4, (255, 250, 214), width=0)
        pen.ellipse(128, 296, 210, (30, 66, 68), tall=106, width=soft)
    elif scene == "at sunset":
        pen.ellipse(128 + chance.uniform(-6, 6), 168, 50, (255, 236, 142), width=soft)
        pen.polygon([(-9, 190), (265, 190), (265, 265), (-9, 265)], (130, 70, 64), width=soft)
        pen.polygon([(-9, 190), (265, 190), (265, 199), (-9, 199)], (176, 96, 72), width=0)
    elif scene == "in the snow":
        pen.ellipse(128, 292, 210, (252, 253, 255), tall=112, width=soft)
        for x, y in _FLAKES:
            pen.ellipse(x, y + chance.uniform(-4, 4), 6, (255, 255, 255), width=0)
    else:
        pen.polygon([(-9, 130), (265, 130), (265, 200), (-9, 200)], (28, 138, 180), width=soft)
        for step in range(6):
            x, y = step * 52 - 6, 150 + 14 * (step % 2)
            pen.line([(x, y), (x + 28, y)], (174, 228, 240), width=5)
        pen.polygon([(-9, 190), (265, 190), (265, 265), (-9, 265)], (242, 216, 152), width=soft)
    return image


def draw_subject(image: Image.Image, subject: str, colour: str, look: str | None, chance: random.Random) -> None:
    """Draw a subject of one colour into a scene."""
    middle = (128 + chance.uniform(-10, 10), 144 + chance.uniform(-7, 7))
    pen = Pen(image, look, middle=middle, scale=chance.uniform(1.25, 1.4))
    _SUBJECTS[subject](pen, COLOURS[colour])


def _sky(top: Colour, bottom: Colour, look: str | None) -> Image.Image:
    share = np.linspace(0, 1, CANVAS)[:, None, None]
    if look == "papercut":
        share = np.floor(share * 3.99) / 3
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    if look == "neon":
        rows = rows * 0.16 + np.array((8, 4, 26))
    pixels = np.broadcast_to(rows, (CANVAS, CANVAS, 3))
    return Image.fromarray(np.ascontiguousarray(pixels).astype(np.uint8))


def _moon(pen: Pen, width: float) -> None:
    turns = [math.radians(40 + 220 * i / 24) for i in range(25)]
    outer = [(48 + 25 * math.cos(a), 40 + 25 * math.sin(a)) for a in turns]
    inner = [(58 + 21 * math.cos(a), 32 + 21 * math.sin(a)) for a in reversed(turns)]
    pen.polygon(outer + inner, (252, 244, 202), width=width and 3.0)


def _house(pen: Pen, colour: Colour) -> None:
    pen.polygon([(26, -46), (40, -46), (40, -16), (26, -16)], (126, 92, 84))
    pen.polygon([(-46, -6), (46, -6), (46, 58), (-46, 58)], colour)
    pen.polygon([(-60, -2), (0, -54), (60, -2)], darker(colour, 0.35))
    pen.polygon([(-11, 22), (11, 22), (11, 58), (-11, 58)], (112, 72, 52))
    for x in (-30, 30):
        pen.polygon([(x - 9, 10), (x + 9, 10), (x + 9, 30), (x - 9, 30)], (255, 238, 140), width=4)


def _tree(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-9, 8), (9, 8), (13, 62), (-13, 62)], (122, 80, 50))
    pen.polygon([(-50, 20), (0, -26), (50, 20)], colour)
    pen.polygon([(-40, -8), (0, -50), (40, -8)], mixed(colour, (255, 255, 255), 0.1))
    pen.polygon([(-28, -34), (0, -68), (28, -34)], mixed(colour, (255, 255, 255), 0.2))


def _boat(pen: Pen, colour: Colour) -> None:
    pen.line([(0, -62), (0, 26)], width=6)
    pen.polygon([(6, -58), (8, 16), (52, 14)], colour)
    pen.polygon([(-6, -40), (-6, 16), (-40, 16)], mixed(colour, (255, 255, 255), 0.45))
    pen.polygon([(-60, 26), (60, 26), (38, 56), (-38, 56)], (134, 86, 56))


def _cat(pen: Pen, colour: Colour) -> None:
    pen.arc(30, 34, 26, 30, (-80, 100), colour=INK, width=15)
    pen.arc(30, 34, 26, 30, (-76, 96), colour=colour, width=8)
    pen.ellipse(0, 34, 30, colour, tall=28)
    for side in (-1, 1):
        pen.polygon([(side * 36, -18), (side * 38, -58), (side * 6, -36)], colour)
    pen.ellipse(0, -12, 38, colour, tall=32)
    for side in (-1, 1):
        pen.ellipse(side * 15, -14, 6, (34, 32, 36), tall=9, width=0)
        pen.ellipse(side * 15 + 2, -18, 2.5, _CREAM, width=0)
        pen.line([(side * 18, 2), (side * 46, -3)], width=3)
        pen.line([(side * 18, 7), (side * 46, 12)], width=3)
    pen.polygon([(-6, 0), (6, 0), (0, 7)], (240, 112, 132), width=3)


def _fish(pen: Pen, colour: Colour) -> None:
    pen.polygon([(28, 0), (64, -30), (54, 0), (64, 30)], darker(colour, 0.25))
    pen.polygon([(-14, -24), (8, -48), (24, -20)], darker(colour, 0.25))
    pen.ellipse(-8, 0, 48, colour, tall=33)
    for x in (-4, 16):
        pen.arc(x, 0, 10, 20, (-70, 70), colour=darker(colour, 0.4), width=5)
    pen.ellipse(-34, -7, 9, (255, 255, 255), width=3)
    pen.ellipse(-36, -7, 4, (22, 20, 26), width=0)


def _flower(pen: Pen, colour: Colour) -> None:
    pen.line([(0, 0), (0, 62)], (44, 132, 62), width=9)
    pen.polygon([(2, 50), (36, 26), (28, 52)], (62, 170, 82), width=4)
    pen.polygon([(-2, 56), (-34, 36), (-26, 58)], (62, 170, 82), width=4)
    for step in range(6):
        angle = step * math.pi / 3 + 0.3
        pen.ellipse(29 * math.cos(angle), -20 + 29 * math.sin(angle), 19, colour)
    pen.ellipse(0, -20, 16, (124, 76, 44))


def _mushroom(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-16, 0), (16, 0), (24, 58), (-24, 58)], (250, 236, 212))
    rim = [(58 * math.cos(a), 4 - 58 * math.sin(a)) for a in (math.pi * i / 20 for i in range(21))]
    pen.polygon([*rim, (-30, 12), (30, 12)], colour)
    spots = (236, 112, 102) if min(colour) > 200 else (255, 252, 240)
    for x, y, radius in ((-30, -16, 9), (4, -34, 11), (34, -14, 8)):
        pen.ellipse(x, y, radius, spots, width=0)


def _robot(pen: Pen, colour: Colour) -> None:
    pen.line([(0, -46), (0, -64)], width=5)
    pen.ellipse(0, -66, 6, (255, 222, 90), width=4)
    for side in (-1, 1):
        pen.polygon([(side * 36, 20), (side * 54, 22), (side * 52, 48), (side * 38, 46)], darker(colour, 0.25))
        pen.polygon([(side * 8, 50), (side * 26, 50), (side * 26, 66), (side * 8, 66)], darker(colour, 0.25))
    pen.polygon([(-34, 8), (34, 8), (30, 54), (-30, 54)], colour)
    pen.polygon([(-40, -46), (40, -46), (40, 6), (-40, 6)], colour)
    pen.polygon([(-30, -36), (30, -36), (30, -10), (-30, -10)], (58, 66, 84), width=4)
    for side in (-1, 1):
        pen.ellipse(side * 14, -23, 7, (150, 240, 236), width=0)
    pen.line([(-14, -1), (14, -1)], width=4)


_SUBJECTS: dict[str, Callable[[Pen, Colour], None]] = {
    "house": _house,
    "tree": _tree,
    "boat": _boat,
    "cat": _cat,
    "fish": _fish,
    "flower": _flower,
    "mushroom": _mushroom,
    "robot": _robot,
}
