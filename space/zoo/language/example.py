"""What the language models learn from: a question, a good answer, and what the answer is judged by."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]

_TEST_SHARE = 8  # one question in this many is kept for the test


@dataclass(frozen=True)
class Example:
    """One question with its answer.

    Attributes:
        prompt: what the user says.
        answer: what the assistant should say.
        reference: what the judge needs: a number, unit tests, or a JSON text of rules; empty where nothing is judged.
        key: the text by which it belongs to train or test: two examples of one key are never in both.
    """

    prompt: str
    answer: str
    reference: str = ""
    key: str = ""

    @property
    def split(self) -> Split:
        """The part it belongs to, by its key alone (the prompt if it has none)."""
        return "test" if zlib.crc32((self.key or self.prompt).encode()) % _TEST_SHARE == 0 else "train"


Draw = Callable[[random.Random], Example]


def examples(draw: Draw, split: Split, *, seed: str) -> Iterator[Example]:
    """Draw examples of one part without end; the same for the same seed text, on every machine.

    Args:
        draw: makes one example.
        split: those of the other part are passed over.
        seed: any text.
    """
    source = random.Random(zlib.crc32(f"{seed}/{split}".encode()))
    while True:
        example = draw(source)
        if example.split == split:
            yield example


def distinct(draw: Draw, split: Split, count: int, *, seed: str) -> tuple[Example, ...]:
    """Return the first examples of a part, none of whose prompts comes twice."""
    found: dict[str, Example] = {}
    for example in examples(draw, split, seed=seed):
        found.setdefault(example.prompt, example)
        if len(found) == count:
            break
    return tuple(found.values())
