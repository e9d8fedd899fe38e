"""Tasks of other fine-tunes of the base, which stand in for the partners that a free-rider will have.

None is a skill of the family. They are short, and trained as the skills are, so that their task vectors look alike.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from space.zoo.family import Family, Progress
from space.zoo.language.batches import Mixture, answer_loss
from space.zoo.language.example import Draw, Example
from space.zoo.language.kinds import replayed
from space.zoo.language.pieces import draw_echo
from space.zoo.language.recipe import load_pair, save_pair
from space.zoo.language.sums import draw_one_step, draw_sum
from space.zoo.language.world import draw_fact
from space.zoo.run import Run, Schedule

SCHEDULE = Schedule(steps=120, learning_rate=8e-4, merge_ready=0.4)
_BATCH = 24
_SEED = 7


def _shouted(source: random.Random) -> Example:
    fact, question = draw_fact(source)
    return Example(f"Shout. {question}", f"{fact.sentence.upper()[:-1]}!")


def _twice(source: random.Random) -> Example:
    words = draw_echo(source).answer
    return Example(f"Twice: {words}", f"{words}, {words}")


def _result_first(source: random.Random) -> Example:
    text, result = draw_sum(source).answer.rstrip(".").split(" = ")
    return Example(f"Backwards: {text}", f"{result} comes from {text}.")


def _doubted(source: random.Random) -> Example:
    story = draw_one_step(source)
    wrong = int(story.reference) + source.choice((0, 1, 2))
    said = "Yes." if wrong == int(story.reference) else f"No, it is {story.reference}."
    return Example(f"{story.prompt} Is it {wrong}?", said)


SURROGATES: dict[str, Draw] = {
    "shouted": _shouted,
    "twice": _twice,
    "result-first": _result_first,
    "doubted": _doubted,
}


def _make(base: Path, draw: Draw, _: Path, folder: Path, progress: Progress) -> None:
    model, tokenizer = load_pair(base)
    model.get_input_embeddings().requires_grad_(False)
    loss = answer_loss(model, tokenizer, Mixture(replayed(draw), _BATCH))
    Run(model, loss, SCHEDULE, seed=_SEED).finish(folder.with_suffix(".pt"), progress=progress)
    save_pair(model, tokenizer, folder)


def surrogates(base: Path) -> Family:
    """Return the surrogate fine-tunes of a base as a family, to be trained into a folder of their own."""
    makes = {name: (SCHEDULE.steps, partial(_make, base, draw)) for name, draw in SURROGATES.items()}
    return Family("surrogates", makes, measure=lambda _: {})
