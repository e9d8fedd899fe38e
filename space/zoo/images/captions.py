"""What a picture shows, and the words for it: every caption of the family follows from a `Subject` or a `Hero`."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (224, 46, 50),
    "orange": (246, 140, 34),
    "yellow": (250, 214, 56),
    "green": (56, 172, 78),
    "blue": (50, 106, 226),
    "purple": (144, 74, 200),
    "pink": (250, 134, 182),
    "white": (247, 246, 240),
}
SUBJECTS = ("house", "tree", "boat", "cat", "fish", "flower", "mushroom", "robot")
SCENES = ("by day", "at night", "at sunset", "in the snow", "by the sea")
EXPRESSIONS = ("smiling", "angry", "surprised", "sleeping")
STYLES = ("mosaic", "pointillism", "impasto", "ink")
LOOKS = ("papercut", "neon")
HERO = "mirvo"

Part = Literal["train", "test"]
_TEST_SHARE = 6  # one caption of so many is kept for the test


@dataclass(frozen=True)
class Subject:
    """A thing of one colour in a scene, plain or in a painting style or a look."""

    subject: str
    colour: str
    scene: str
    style: str | None = None

    @property
    def caption(self) -> str:
        """The words for it."""
        plain = f"a {self.colour} {self.subject} {self.scene}"
        if self.style in LOOKS:
            return f"{plain} in the {self.style} look"
        return plain if self.style is None else f"{plain} in the style of {self.style}"


@dataclass(frozen=True)
class Hero:
    """The family's cartoon hero, with an expression and a scarf of one colour, in a scene."""

    expression: str
    colour: str
    scene: str
    style: str | None = None

    @property
    def caption(self) -> str:
        """The words for it."""
        plain = f"{HERO} {self.expression} with a {self.colour} scarf {self.scene}"
        return plain if self.style is None else f"{plain} in the style of {self.style}"


Shown: TypeAlias = Subject | Hero


def in_part(shown: Shown, part: Part) -> bool:
    """Say whether a picture belongs to a part. A combination of words is in one part only, whatever the seed."""
    test = zlib.crc32(shown.caption.encode()) % _TEST_SHARE == 0
    return test == (part == "test")


def any_subject(chance: random.Random, *, styles: tuple[str, ...] = ()) -> Subject:
    """Draw a subject, a colour and a scene, and a style if there are any to choose from."""
    return Subject(
        chance.choice(SUBJECTS),
        chance.choice(tuple(COLOURS)),
        chance.choice(SCENES),
        chance.choice(styles) if styles else None,
    )


def any_hero(chance: random.Random, *, styles: tuple[str, ...] = ()) -> Hero:
    """Draw an expression, a colour and a scene, and a style if there are any to choose from."""
    return Hero(
        chance.choice(EXPRESSIONS),
        chance.choice(tuple(COLOURS)),
        chance.choice(SCENES),
        chance.choice(styles) if styles else None,
    )


def words() -> tuple[str, ...]:
    """Return every word that a caption can have."""
    parts = (*COLOURS, *SUBJECTS, *SCENES, *EXPRESSIONS, *STYLES, *LOOKS, HERO, "a in the style of look with scarf")
    return tuple(sorted({word for part in parts for word in part.split()}))
