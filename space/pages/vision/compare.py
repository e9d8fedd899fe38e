"""The five models on both tasks: accuracies on whole test sets, and answers to the first pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from space.choice import Choice
from space.five import COLUMNS, Column, model_of
from space.shelf import BASE
from space.zoo.vision.data import Pictures, pictures
from space.zoo.vision.family import classification

SHOWN = 8
_KEPT = 256  # choices whose predictions are remembered, a few kB each


@dataclass(frozen=True)
class Candidate:
    """One of the models compared.

    Attributes:
        column: which of the five.
        accuracy: fraction in [0, 1] of all test pictures, by task.
        answers: predicted class of each picture shown, counted from 0 within the defender's task.
    """

    column: Column
    accuracy: Mapping[str, float]
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """What one choice gives, or as much of it as has been measured.

    Attributes:
        choice: what was chosen.
        base: accuracy of the base model, by task.
        shown: the pictures that `answers` are about, the first of the defender's test pictures.
        candidates: the models in the order of `COLUMNS`, by the column's name.
    """

    choice: Choice
    base: Mapping[str, float]
    shown: Pictures
    candidates: Mapping[str, Candidate] = field(default_factory=dict)


def stages(choice: Choice) -> Iterator[tuple[Column, Comparison]]:
    """Measure the five models one after the other; yields each column with all that is known up to it."""
    tasks = (choice.defender, choice.partner)
    base = {task: _accuracy(task, predictions(choice, BASE, task)) for task in tasks}
    found: dict[str, Candidate] = {}
    for column in COLUMNS:
        own = {task: predictions(choice, column.name, task) for task in tasks}
        accuracy = {task: _accuracy(task, answers) for task, answers in own.items()}
        found[column.name] = Candidate(column, accuracy, own[choice.defender][:SHOWN])
        yield column, Comparison(choice, base, pictures(choice.defender, "test", SHOWN), dict(found))


def compare(choice: Choice) -> Comparison:
    """Measure all five models."""
    *_, (_, whole) = stages(choice)
    return whole


@lru_cache(maxsize=_KEPT)
def predictions(choice: Choice, column: str, task: str) -> tuple[int, ...]:
    """Return a model's classes for all test pictures of a task.

    Args:
        choice: what the visitor chose.
        column: the name of one of `COLUMNS`, or "base".
        task: name of a task of the vision family.
    """
    return tuple(classification(task).predictions(model_of(choice, column)))


def _accuracy(task: str, predicted: tuple[int, ...]) -> float:
    labels = classification(task).labels
    return sum(own == label for own, label in zip(predicted, labels, strict=True)) / len(labels)
