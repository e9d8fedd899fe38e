"""The pictures of the family with their captions, drawn again from fixed seeds. Nothing is downloaded."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from space.zoo.cache import cached
from space.zoo.images.captions import LOOKS, STYLES, Hero, Part, Shown, any_hero, any_subject, in_part
from space.zoo.images.drawing import draw_scene, draw_subject
from space.zoo.images.hero import draw_hero
from space.zoo.images.pen import glowing
from space.zoo.images.styles import paint

IMAGE_SIZE = 64

_DRAWN: dict[str, Callable[[random.Random], Shown]] = {
    "base": any_subject,
    "hero": any_hero,
    "styles": lambda chance: any_subject(chance, styles=STYLES),
    "papercut": lambda chance: any_subject(chance, styles=LOOKS[:1]),
    "neon": lambda chance: any_subject(chance, styles=LOOKS[1:]),
}
DOMAINS = tuple(_DRAWN)


@dataclass(frozen=True)
class Pictures:
    """Drawn pictures and what they show.

    Attributes:
        pixels: uint8 [n, 3, 64, 64].
        shown: what each shows.
    """

    pixels: torch.Tensor
    shown: tuple[Shown, ...]

    def __len__(self) -> int:
        return len(self.shown)

    def scaled(self, chosen: torch.Tensor | slice) -> torch.Tensor:
        """Return some of the pictures as models expect them. -> float32 [k, 3, 64, 64] in [-1, 1]."""
        return self.pixels[chosen].float() / 127.5 - 1


def draw_picture(shown: Shown, chance: random.Random) -> Image.Image:
    """Draw one picture, 64 x 64 RGB; place and size are drawn from `chance`."""
    look = shown.style if shown.style in LOOKS else None
    image = draw_scene(shown.scene, look, chance)
    if isinstance(shown, Hero):
        draw_hero(image, shown.expression, shown.colour, look, chance)
    else:
        draw_subject(image, shown.subject, shown.colour, look, chance)
    if look == "neon":
        image = glowing(image)
    if shown.style in STYLES:
        image = paint(image, shown.style, np.random.RandomState(chance.randrange(2**31)))
    return image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)


def combinations(domain: str, part: Part, count: int) -> tuple[Shown, ...]:
    """Return what the pictures of a domain show; no combination of words is in both parts."""
    # random.Random and RandomState promise that their numbers never change between versions.
    chance = random.Random(zlib.crc32(f"{domain}/{part}".encode()))
    found: list[Shown] = []
    while len(found) < count:
        candidate = _DRAWN[domain](chance)
        if in_part(candidate, part):
            found.append(candidate)
    return tuple(found)


def pictures(domain: str, part: Part, count: int, *, cache: Path | None = None) -> Pictures:
    """Draw pictures of a domain; the same every time.

    Args:
        domain: a name in `DOMAINS`.
        part: "train" or "test".
        count: how many; fewer are the first of more.
        cache: folder that keeps the pixels, so that they are drawn only once.
    """
    shown = combinations(domain, part, count)

    def pixels() -> torch.Tensor:
        chances = [random.Random(zlib.crc32(f"{domain}/{part}/{index}".encode())) for index in range(count)]
        drawn = [np.asarray(draw_picture(each, chance)) for each, chance in zip(shown, chances, strict=True)]
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()

    return Pictures(pixels() if cache is None else cached(cache, f"{domain}-{part}-{count}", pixels), shown)


def joined(parts: Sequence[Pictures]) -> Pictures:
    """Return the pictures of several sets as one."""
    return Pictures(torch.cat([part.pixels for part in parts]), tuple(chain(*(part.shown for part in parts))))


def unseen_combinations(domain: str, most: int) -> tuple[Shown, ...]:
    """Return different combinations of words that no training has seen, in a fixed random order.

    Args:
        domain: a name in `DOMAINS`.
        most: how many at most; a domain may have fewer.
    """
    chance = random.Random(zlib.crc32(f"{domain}/test combinations".encode()))
    found: dict[str, Shown] = {}
    for _ in range(50 * most):
        candidate = _DRAWN[domain](chance)
        if in_part(candidate, "test") and len(found) < most:
            found.setdefault(candidate.caption, candidate)
    return tuple(found.values())
