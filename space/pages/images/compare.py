"""The five models on the same prompts and noise: their pictures, and what the scorer sees in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from PIL import Image

from space.five import COLUMNS, Column, model_of
from space.pages.images.prompts import Wish
from space.shelf import SHELVES
from space.store import IN_USE
from space.zoo.images.scorer import Scorer, Seen
from space.zoo.images.tasks import draw

_KEPT = 200  # columns whose pictures are remembered, of 50 kB at most


@dataclass(frozen=True)
class Candidate:
    """One of the models compared.

    Attributes:
        column: which of the five.
        pictures: one for each prompt, RGB.
        seen: what the scorer sees in each; nothing where the models are not the zoo's, which are all it knows.
    """

    column: Column
    pictures: tuple[Image.Image, ...]
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What was asked for, and as much of it as has been drawn.

    Attributes:
        prompts: one for each row.
        wish: the models; None: they are not the zoo's.
        candidates: the models in the order of `COLUMNS`, by the column's name.
    """

    prompts: tuple[str, ...]
    wish: Wish | None
    candidates: Mapping[str, Candidate] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all five have drawn."""
        return len(self.candidates) == len(COLUMNS)


def stages(wish: Wish) -> Iterator[tuple[Column, Comparison]]:
    """Let the five models draw one after the other; yields each column with all that is there up to it."""
    found: dict[str, Candidate] = {}
    for column in COLUMNS:
        pictures = drawn(wish, column.name)
        found[column.name] = Candidate(column, pictures, tuple(scorer().see(pictures)))
        yield column, Comparison(wish.prompts, wish, dict(found))


def compare(wish: Wish) -> Comparison:
    """Let all five models draw."""
    *_, (_, whole) = stages(wish)
    return whole


@lru_cache(maxsize=_KEPT)
def drawn(wish: Wish, column: str) -> tuple[Image.Image, ...]:
    """Return a model's pictures, 64 x 64 RGB.

    Args:
        wish: what is to be drawn.
        column: the name of one of `COLUMNS`.
    """
    model = model_of(wish.choice, column)
    with IN_USE[wish.choice.family]:
        return tuple(draw(model, wish.prompts, [wish.seed] * len(wish.prompts)))


@cache
def scorer() -> Scorer:
    """Return the judge of the pictures."""
    return Scorer.load(SHELVES["images"].folder("scorer"))
