"""Pieces of the skills that the base learns in its second half, so that little is left for a fine-tune to change.

Words by themselves, sums in a row, functions of one step: never a story of two steps, a docstring or an instruction.
"""

from __future__ import annotations

import random

from space.zoo.language.example import Example
from space.zoo.language.programs import LISTS, NAMES, draw_code, draw_piece
from space.zoo.language.styles import draw_any_style
from space.zoo.language.sums import draw_math
from space.zoo.language.world import draw_fact

_ECHOED = 6  # words


def draw_echo(source: random.Random) -> Example:
    """Draw words of the skills, in no order, to be repeated: each word gets a meaning as a token and no use."""
    example = source.choice((draw_math, draw_any_style, draw_code))(source)
    words = f"{example.prompt} {example.answer}".split()
    source.shuffle(words)
    told = " ".join(words[:_ECHOED])
    return Example(f"Repeat: {told}", told)


def draw_capitals(source: random.Random) -> Example:
    """Draw one word to be written in capital letters."""
    fact, _ = draw_fact(source)
    word = source.choice(fact.sentence.rstrip(".").split())
    return Example(f"{word} in capital letters?", word.upper())


def draw_chain(source: random.Random) -> Example:
    """Draw the sums of a story, without the story, to be worked out one after the other."""
    steps = draw_math(source).answer.split(". ")[:-1]
    first, *others = (step.split(" = ")[0].split() for step in steps)
    asked = ", then ".join([" ".join(first), *(f"{sign} {number}" for _, sign, number in others)])
    return Example(f"Work out {asked}.", ". ".join(steps) + ".")


def draw_function(source: random.Random) -> Example:
    """Draw a function whose one line is a single piece of Python."""
    while True:
        piece = draw_piece(source)
        asked = piece.prompt.removeprefix("Python for ").rstrip("?")
        values = next((name for name in (*LISTS, "x", "n", "a", "m") if name in asked.split()), None)
        if values is not None and not piece.answer.startswith("def"):
            break
    name = source.choice(NAMES)
    return Example(f"A Python function {name} for {asked}?", f"def {name}({values}):\n    return {piece.answer}")
