"""Painting styles: a finished picture painted once more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from space.zoo.images.pen import CANVAS

Pixels = npt.NDArray[np.float64]
Random = np.random.RandomState

_TILE = 16
_ROWS, _COLUMNS = np.mgrid[:CANVAS, :CANVAS].astype(np.float64)


def paint(image: Image.Image, style: str, random: Random) -> Image.Image:
    """Return the picture in a style, a key of `STYLES`."""
    return Image.fromarray(np.clip(_PAINTERS[style](image, random), 0, 255).astype(np.uint8))


def _mosaic(image: Image.Image, random: Random) -> Pixels:
    """Stones in rows, every second row shifted by half a stone, with dark joints and one lit edge."""
    row = np.floor(_ROWS / _TILE).astype(int)
    shift = (row % 2) * (_TILE // 2)
    column = np.floor((_COLUMNS + shift) / _TILE).astype(int)
    stone = row * (CANVAS // _TILE + 1) + column
    pixels = _averaged(_vivid(np.asarray(image, dtype=np.float64), 1.25), stone)
    pixels += random.normal(0, 9, size=stone.max() + 1)[stone][..., None]
    across, down = (_COLUMNS + shift) % _TILE, _ROWS % _TILE
    pixels[(across < 5) | (down < 5)] += 20
    pixels[(across >= _TILE - 3) | (down >= _TILE - 3)] = (58, 48, 48)
    return pixels


def _pointillism(image: Image.Image, random: Random) -> Pixels:
    """Round dots of pure colour on cream, in turn warmer and colder than what they stand for."""
    row = np.floor(_ROWS / _TILE).astype(int)
    column = np.floor(_COLUMNS / _TILE).astype(int)
    dot = row * (CANVAS // _TILE) + column
    colours = _averaged(_vivid(np.asarray(image, dtype=np.float64), 1.7), dot)
    warm = ((row + column) % 2 == 0)[..., None]
    colours *= np.where(warm, (1.1, 0.98, 0.84), (0.84, 0.98, 1.14))
    colours += random.normal(0, 6, size=(dot.max() + 1, 3))[dot]
    middle = (_TILE - 1) / 2
    inside = (_COLUMNS % _TILE - middle) ** 2 + (_ROWS % _TILE - middle) ** 2 < 7.2**2
    return np.where(inside[..., None], colours, (250, 242, 222))


def _impasto(image: Image.Image, random: Random) -> Pixels:
    """Thick wavy strokes: the picture swayed along waves, with light on one side of each."""
    wave = 9 * np.sin(2 * np.pi * _COLUMNS / 128) + 6 * np.sin(2 * np.pi * (_COLUMNS + _ROWS) / 170)
    swayed = (_COLUMNS + 5 * np.sin(2 * np.pi * (_ROWS + wave) / 21)).astype(int).clip(0, CANVAS - 1)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), dtype=np.float64)
    pixels = _vivid(soft[_ROWS.astype(int), swayed], 1.5)
    light = np.sin(2 * np.pi * (_ROWS + wave) / 32 + random.uniform(-0.4, 0.4))
    return pixels + light[..., None] * np.array((46, 38, 10))


def _ink(image: Image.Image, random: Random) -> Pixels:
    """A wash of black ink on warm paper, hatched where it is dark, with a red seal in the corner."""
    grey = image.convert("L")
    lines = np.asarray(grey.filter(ImageFilter.FIND_EDGES).filter(ImageFilter.GaussianBlur(2)), dtype=np.float64)
    wash = np.asarray(grey.filter(ImageFilter.GaussianBlur(3)), dtype=np.float64)
    paper = 0.4 + 0.6 * np.clip((wash - 20) / 170, 0, 1)
    hatched = ((_ROWS + _COLUMNS) % 32 < 9) & (wash < 130)
    paper = np.clip(np.where(hatched, paper * 0.66, paper) - lines / 255 * 1.5, 0, 1)[..., None]
    pixels = np.array((38, 40, 58)) * (1 - paper) + np.array((248, 238, 214)) * paper
    sealed = Image.fromarray(pixels.astype(np.uint8))
    draw, place = ImageDraw.Draw(sealed), 214 + random.randint(-2, 3)
    draw.rectangle((place, 212, place + 30, 242), fill=(206, 38, 38))
    draw.line((place + 8, 220, place + 8, 234, place + 22, 220, place + 22, 234), fill=(250, 228, 212), width=4)
    return np.asarray(sealed, dtype=np.float64)


def _vivid(pixels: Pixels, factor: float) -> Pixels:
    grey = pixels.mean(axis=2, keepdims=True)
    return np.clip(grey + (pixels - grey) * factor, 0, 255)


def _averaged(pixels: Pixels, cell: npt.NDArray[np.int64]) -> Pixels:
    """Give every pixel its cell's mean colour. [h, w, 3], [h, w] -> [h, w, 3]."""
    counts = np.bincount(cell.ravel())
    channels = [np.bincount(cell.ravel(), weights=pixels[..., c].ravel()) / np.maximum(counts, 1) for c in range(3)]
    return np.stack(channels, axis=-1)[cell]


_PAINTERS: dict[str, Callable[[Image.Image, Random], Pixels]] = {
    "mosaic": _mosaic,
    "pointillism": _pointillism,
    "impasto": _impasto,
    "ink": _ink,
}
