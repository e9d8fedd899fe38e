"""Mirvo, the family's recurring hero: brown skin, teal hair in a great snail's curl, a white lock, a scarf.

The figure was made up for this repository. Nothing of it is taken from an existing character.
"""

from __future__ import annotations

import math
import random

from PIL import Image

from space.zoo.images.captions import COLOURS
from space.zoo.images.pen import Colour, Pen, darker

_SKIN: Colour = (208, 146, 100)
_HAIR: Colour = (22, 166, 160)
_LOCK: Colour = (244, 246, 236)
_COAT: Colour = (238, 224, 190)
_IRIS: Colour = (116, 60, 170)
_GOLD: Colour = (250, 200, 70)
_WHITE: Colour = (255, 255, 255)
_FACE = ((-44, -12), (-36, -32), (36, -32), (44, -12), (40, 18), (22, 42), (0, 50), (-22, 42), (-40, 18))
_FRINGE = ((-46, 2), (-48, -22), (-34, -46), (0, -56), (34, -46), (48, -22), (46, 2), (32, -16), (12, -24), (-30, -14))


def draw_hero(image: Image.Image, expression: str, scarf: str, look: str | None, chance: random.Random) -> None:
    """Draw the hero into a scene, from the shoulders up."""
    middle = (124 + chance.uniform(-7, 7), 150 + chance.uniform(-5, 5))
    pen = Pen(image, look, middle=middle, scale=chance.uniform(1.2, 1.28))
    pen.polygon([(-58, 94), (-46, 58), (-18, 46), (18, 46), (46, 58), (58, 94)], _COAT)
    pen.polygon([(-6, 50), (6, 50), (8, 94), (-8, 94)], darker(_COAT, 0.2), width=3)
    _hair(pen)
    for side in (-1, 1):
        pen.ellipse(side * 46, 10, 11, _SKIN, tall=13)
    pen.ellipse(52, 26, 6, _GOLD, width=3)
    pen.polygon(
        [(-44, -12), (-36, -32), (36, -32), (44, -12), (40, 18), (22, 42), (0, 50), (-22, 42), (-40, 18)], _SKIN
    )
    fringe = [
        (-46, 2),
        (-48, -22),
        (-34, -46),
        (0, -56),
        (34, -46),
        (48, -22),
        (46, 2),
        (32, -16),
        (12, -24),
        (-30, -14),
    ]
    pen.polygon(fringe, _HAIR)
    pen.polygon([(-30, -14), (-16, -48), (-2, -50), (-8, -19)], _LOCK, width=4)
    _face(pen, expression)
    _scarf(pen, COLOURS[scarf])


def _hair(pen: Pen) -> None:
    """Draw the hair behind the face: a cap with a small curl on the left and a great snail's curl on the right."""
    pen.ellipse(-34, -46, 17, _HAIR)
    pen.ellipse(0, -14, 47, _HAIR, tall=44)
    pen.ellipse(36, -58, 31, _HAIR)
    curl = []
    for step in range(40):
        turn, radius = step * math.pi / 12 + 2.4, 25 - 0.55 * step
        curl.append((36 + radius * math.cos(turn), -58 + radius * math.sin(turn)))
    pen.line(curl, darker(_HAIR, 0.55), width=5)


def _face(pen: Pen, expression: str) -> None:
    for side in (-1, 1):
        x = side * 19
        if expression == "sleeping":
            pen.arc(x, 2, 12, 8, (10, 170), width=6)
            continue
        tall = 16.0 if expression == "surprised" else 12.0
        pen.ellipse(x, 2, 12, _WHITE, tall=tall, width=4)
        pen.ellipse(x, 3, 6.5, _IRIS, tall=tall * 0.6, width=0)
        pen.ellipse(x, 3, 3, (24, 14, 40), tall=4.5, width=0)
        if expression == "angry":
            pen.line([(x + side * 15, -19), (x - side * 11, -6)], width=9)
    if expression == "smiling":
        smile = [(17 * math.cos(a), 22 + 17 * math.sin(a)) for a in (math.pi * i / 12 for i in range(13))]
        pen.polygon(smile, (176, 44, 52), width=4)
    elif expression == "angry":
        pen.arc(0, 38, 14, 11, (200, 340), width=7)
    elif expression == "surprised":
        pen.ellipse(0, 32, 8, (140, 36, 48), tall=11, width=4)
    else:
        pen.arc(0, 24, 8, 6, (20, 160), width=6)


def _scarf(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-46, 52), (-30, 44), (0, 54), (30, 44), (46, 52), (44, 72), (0, 80), (-44, 72)], colour)
    pen.polygon([(-40, 66), (-20, 72), (-24, 98), (-46, 94)], darker(colour, 0.18))
    pen.line([(-14, 65), (18, 65)], darker(colour, 0.3), width=4)
