"""What a visitor asks the models to draw: checked, made ready, and read back where it is a caption of the family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

from space.choice import LONGEST_PROMPT, Choice, ChoiceError, checked_text
from space.shelf import SHELVES
from space.zoo.images.captions import (
    COLOURS,
    EXPRESSIONS,
    HERO,
    LOOKS,
    SCENES,
    STYLES,
    SUBJECTS,
    Hero,
    Shown,
    Subject,
)
from space.zoo.images.grid import SEED as FIRST_SEED
from space.zoo.images.grid import first_of_each
from space.zoo.images.models import CONTEXT

__all__ = [
    "FIRST_SEED",
    "LARGEST_SEED",
    "LONGEST",
    "MOST",
    "WORDS",
    "Wish",
    "drawing_of",
    "known",
    "ready",
    "starting",
    "wish",
]

MOST = 4  # prompts at a time; five columns of them take two processor cores a few seconds
LONGEST = MOST * (LONGEST_PROMPT + 1)  # characters of all of them, with the ends of their lines
LARGEST_SEED = 2**31 - 1
WORDS = CONTEXT - 2  # that a model reads, each of them one token; two mark beginning and end
_OF_EACH = 2  # of the prompts that a visitor starts with, for defender and partner each


@dataclass(frozen=True)
class Wish:
    """What is to be drawn.

    Attributes:
        choice: the models.
        prompts: one for each row.
        seed: of the noise that every picture starts from, in every row and column.
    """

    choice: Choice
    prompts: tuple[str, ...]
    seed: int


def wish(choice: Choice, text: object, seed: object) -> Wish:
    """Return what is to be drawn, from what came from the page or the API.

    Args:
        choice: the models.
        text: one prompt a line; empty lines do not count.
        seed: of the noise.

    Raises:
        ChoiceError: there is no prompt, there are more than `MOST`, one is too long, or the seed is no whole number
            from 0 to `LARGEST_SEED`.
    """
    return Wish(choice, prompts_in(text), checked_seed(seed))


def prompts_in(text: object) -> tuple[str, ...]:
    """Return the prompts, one a line; see `wish` for what is refused."""
    lines: list[object] = [line for line in text.splitlines() if line.strip()] if isinstance(text, str) else []
    if len(lines) > MOST:
        raise ChoiceError(f"These are {len(lines):,} prompts: at most {MOST} are drawn at a time, one a line.")
    return tuple(checked_text(line, "prompt") for line in lines or [text])


def checked_seed(seed: object) -> int:
    """Return the seed; see `wish` for what is refused."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ChoiceError(f"The seed is {str(seed)[:40]}: give a whole number from 0 to {LARGEST_SEED}.")
    return seed


@cache
def known() -> Mapping[str, Shown]:
    """Return what each caption of the family means."""
    plain = product(COLOURS, SCENES, (None, *STYLES, *LOOKS))
    subjects = [Subject(name, colour, scene, style) for colour, scene, style in plain for name in SUBJECTS]
    heroes = [Hero(*words) for words in product(EXPRESSIONS, COLOURS, SCENES, (None, *STYLES))]
    everything: tuple[Shown, ...] = (*subjects, *heroes)
    return {shown.caption: shown for shown in everything}


def starting(defender: str, partner: str) -> str:
    """Return what the box holds first: prompts of the report's figure for both skills. No training saw them."""
    return "\n".join([*first_of_each(defender)[:_OF_EACH], *first_of_each(partner)[:_OF_EACH]])


@cache
def ready() -> Mapping[str, str]:
    """Return examples by what they ask for: prompts that no training saw, and two skills in one picture."""
    both = [
        f"{HERO} {look} with a red scarf by day in the style of {style}"
        for look, style in zip(EXPRESSIONS, STYLES, strict=True)
    ]
    return {
        **{what: "\n".join(first_of_each(skill)) for skill, what in SHELVES["images"].skills.items()},
        "the hero in painting styles": "\n".join(both),
    }


def drawing_of(text: str, seed: int) -> str:
    """Return the last lines of a script: they draw the prompts with the merge that the lines before have made."""
    prompts = list(prompts_in(text))
    return (
        "\nfrom space.zoo.images.models import load_pipeline\nfrom space.zoo.images.tasks import draw\n\n"
        f'pictures = draw(load_pipeline("merged"), {prompts!r}, seeds={[checked_seed(seed)] * len(prompts)})\n'
        'for row, picture in enumerate(pictures):\n    picture.save(f"{row}.png")\n'
    )
