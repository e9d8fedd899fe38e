"""Pictures of scanned digits: plain, or in colour on clutter, between other digits that are cut off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from space.zoo.vision.drawing.sketch import Random, Rgb, any_paint, in_light
from space.zoo.vision.tasks import IMAGE_SIZE

Grey = npt.NDArray[np.float64]  # [n, 32, 32] or [32, 32] in [0, 1]

_SPACING = 23  # pixels from one digit to the next


def plain(scan: Grey, random: Random, *, still: bool) -> Rgb:
    """Return a scan in grey, moved by up to two pixels each way unless it is to keep still."""
    down, right = (0, 0) if still else random.randint(-2, 3, size=2)
    return np.repeat(_moved(scan, int(down), int(right))[..., None], 3, axis=2)


def number(scan: Grey, neighbours: Grey, random: Random) -> Rgb:
    """Return a scan between two others, in one colour on a sloping ground of another, in bad light."""
    down, right = (int(step) for step in random.randint(-1, 2, size=2))
    ink = _moved(scan, down, right)
    for neighbour, side in zip(neighbours, (-1, 1), strict=True):
        ink = np.maximum(ink, _moved(neighbour, down + int(random.randint(-2, 3)), right + side * _SPACING))
    dark, bright = (np.array(any_paint(random, darkest=low, brightest=low + 0.4)) for low in (0.0, 0.6))
    ground, colour = (dark, bright) if random.uniform() < 0.5 else (bright, dark)
    other = ground + random.uniform(-0.2, 0.2, 3)  # the ground changes to this along a random direction
    slope = np.linspace(0, 1, IMAGE_SIZE)
    part = slope[None, :] if random.uniform() < 0.5 else slope[:, None]
    part = np.broadcast_to(part, scan.shape)[..., None]
    picture = ground * (1 - part) + other * part
    picture = picture + (colour - picture) * ink[..., None]
    return in_light(np.clip(picture, 0, 1), random, noise=0.05, dim=0.35)


def _moved(scan: Grey, down: int, right: int) -> Grey:
    """Move a scan and leave the room that becomes free empty."""
    moved = np.zeros_like(scan)
    height, width = scan.shape
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = scan[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved
