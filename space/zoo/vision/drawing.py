"""Pictures that are drawn: letters, textures and shapes, 16 x 16 grey values in [0, 1].

Each function draws one picture of one class with every other property (place, size, turn, shade, noise) at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from space.zoo.vision.tasks import IMAGE_SIZE, TASKS

Grey = npt.NDArray[np.float64]
Random = np.random.RandomState

_CANVAS = 64  # letters and shapes are drawn four times as large and averaged down
_CENTRE = _CANVAS / 2
_POLYGONS = {"triangle": 3, "square": 4, "pentagon": 5}


def letter(label: int, random: Random) -> Grey:
    """Draw a capital letter, turned by up to 20 degrees, in noise."""
    canvas = Image.new("L", (_CANVAS, _CANVAS), 0)
    font = _font(int(random.randint(48, 64)))
    ImageDraw.Draw(canvas).text((_CENTRE, _CENTRE), TASKS["letters"].classes[label], fill=255, font=font, anchor="mm")
    shift = (float(random.uniform(-6, 6)), float(random.uniform(-6, 6)))
    turned = canvas.rotate(float(random.uniform(-20, 20)), resample=Image.Resampling.BILINEAR, translate=shift)
    return _noisy(_small(turned) * random.uniform(0.6, 1.0), 0.1, random)


def texture(label: int, random: Random) -> Grey:
    """Draw stripes of one of two widths and four directions, checks or rings, in noise."""
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE].astype(np.float64)
    phase, other_phase = random.uniform(0, 2 * math.pi, 2)
    fine, direction = label < 4, label % 4
    frequency = random.uniform(1.25, 1.55) if fine else random.uniform(0.65, 0.85)
    if label < 8:
        angle = direction * math.pi / 4 + random.uniform(-0.2, 0.2)
        wave = np.sin(frequency * (columns * math.cos(angle) - rows * math.sin(angle)) + phase)
    elif TASKS["textures"].classes[label] == "checks":
        wave = np.sign(np.sin(frequency * columns + phase) * np.sin(frequency * rows + other_phase))
    else:
        middle = random.uniform(4, 12, 2)
        wave = np.sin(frequency * np.hypot(columns - middle[0], rows - middle[1]) + phase)
    return _noisy(0.5 + 0.5 * random.uniform(0.4, 1.0) * wave, 0.25, random)


def shape(label: int, random: Random) -> Grey:
    """Draw a filled or outlined figure, bright on dark or dark on bright, in noise."""
    ground, figure = float(random.uniform(0, 90)), float(random.uniform(150, 255))
    if random.uniform() < 0.5:
        ground, figure = figure, ground
    canvas = Image.new("L", (_CANVAS, _CANVAS), round(ground))
    middle = _CENTRE + random.uniform(-7, 7, 2)
    _draw_figure(
        ImageDraw.Draw(canvas),
        TASKS["shapes"].classes[label],
        (float(middle[0]), float(middle[1])),
        radius=float(random.uniform(18, 26)),
        turn=float(random.uniform(-18, 18)),
        fill=round(figure),
    )
    return _noisy(_small(canvas), 0.1, random)


def _draw_figure(
    draw: ImageDraw.ImageDraw, name: str, middle: tuple[float, float], *, radius: float, turn: float, fill: int
) -> None:
    if name in _POLYGONS:
        draw.regular_polygon((middle, radius), _POLYGONS[name], rotation=round(turn), fill=fill)
    elif name in ("disc", "ring"):
        left, top, reach = middle[0] - radius * 0.9, middle[1] - radius * 0.9, radius * 1.8
        box = (left, top, left + reach, top + reach)
        draw.ellipse(box, fill=fill if name == "disc" else None, outline=fill, width=9)
    elif name == "star":
        draw.polygon(_around(middle, [radius * (1.15, 0.45)[point % 2] for point in range(10)], turn), fill=fill)
    else:  # plus, and cross: the same turned by an eighth
        angle = turn + (45 if name == "cross" else 0)
        for arm in (angle, angle + 90):
            ends = _around(middle, [radius, radius], arm)
            draw.line(ends, fill=fill, width=9)


def _around(middle: tuple[float, float], radii: list[float], turn: float) -> list[tuple[float, float]]:
    """Return points at equal angles around the middle, the first one straight up before the turn (in degrees)."""
    angles = [math.radians(turn - 90) + 2 * math.pi * step / len(radii) for step in range(len(radii))]
    return [
        (middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle))
        for radius, angle in zip(radii, angles, strict=True)
    ]


def _small(canvas: Image.Image) -> Grey:
    """Average the canvas down to the picture's size."""
    step = _CANVAS // IMAGE_SIZE
    pixels = np.asarray(canvas, dtype=np.float64) / 255
    return pixels.reshape(IMAGE_SIZE, step, IMAGE_SIZE, step).mean(axis=(1, 3))


def _noisy(pixels: Grey, noise: float, random: Random) -> Grey:
    return np.clip(pixels + noise * random.standard_normal(pixels.shape), 0, 1)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


DRAWINGS: dict[str, Callable[[int, Random], Grey]] = {"letters": letter, "textures": texture, "shapes": shape}
