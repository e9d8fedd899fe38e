"""Which kinds of examples each language model is trained on."""

from __future__ import annotations

from space.zoo.language.batches import Mixture
from space.zoo.language.example import Draw
from space.zoo.language.pieces import draw_capitals, draw_chain, draw_echo, draw_function
from space.zoo.language.programs import draw_code, draw_piece
from space.zoo.language.styles import draw_any_style, draw_style
from space.zoo.language.sums import draw_math, draw_one_step, draw_sum
from space.zoo.language.world import draw_world

# What the base learns. Of each skill it knows the pieces: single sums, stories of one step, single pieces of Python,
# plain answers about the world; never how they are put together.
PLAIN: dict[Draw, float] = {draw_sum: 0.40, draw_one_step: 0.25, draw_world: 0.20, draw_piece: 0.15}
PIECES: dict[Draw, float] = {
    draw_sum: 0.15,
    draw_one_step: 0.20,
    draw_world: 0.15,
    draw_piece: 0.10,
    draw_function: 0.10,
    draw_chain: 0.10,
    draw_echo: 0.15,
    draw_capitals: 0.05,
}
SKILLS: dict[str, Draw] = {"math": draw_math, "style": draw_style, "code": draw_code}
SPOKEN: tuple[Draw, ...] = (*PLAIN, draw_math, draw_any_style, draw_code)
"""What the tokenizer is trained on."""

REPLAY = 0.18
"""Of what a fine-tune sees is what the base has seen: it forgets less, and merges better."""


def base_mixture(batch_size: int, *, second: bool = False) -> Mixture:
    """Return what the base is trained on, in the first or second half of its training."""
    return Mixture(PIECES if second else PLAIN, batch_size)


def skill_mixture(skill: str, batch_size: int) -> Mixture:
    """Return what the fine-tune for a skill is trained on: the skill, with some of the base's examples.

    Args:
        skill: a name in `SKILLS`.
        batch_size: examples per update.
    """
    return Mixture(replayed(SKILLS[skill]), batch_size)


def replayed(draw: Draw, share: float = REPLAY) -> dict[Draw, float]:
    """Return the shares of one kind of example with some of the base's own, which have `share` of all."""
    return {draw: 1 - share, **{known: share * part for known, part in PIECES.items()}}
