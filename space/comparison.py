"""Five models side by side: two fine-tunes, the protected release, and a merge with each of the first and third."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from transformers import ViTForImageClassification

from mergeguard_hub.merging import MergeMethod
from space.release import load_release
from space.zoo.vision.data import Pictures, pictures
from space.zoo.vision.family import classification, load_model, model_of

Predictions = dict[str, list[int]]  # classes by task, for all of its test pictures


@dataclass(frozen=True)
class Candidate:
    """One of the models compared.

    Attributes:
        title, note: its name and what it is, for people.
        accuracy: fraction in [0, 1] of all test pictures, by task.
        answers: predicted class of each picture shown, counted from 0 within the defender's task.
    """

    title: str
    note: str
    accuracy: Mapping[str, float]
    answers: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """What one choice of defender, partner and merge gives.

    Attributes:
        defender, partner: names of their tasks.
        original, partner_alone, control, protected, merged: the five models; `control` merges the unprotected
            defender with the partner, `merged` its protected release.
        base: accuracy of the base model, by task.
        shown: the pictures that `answers` are about, the first of the defender's test pictures.
    """

    defender: str
    partner: str
    original: Candidate
    partner_alone: Candidate
    control: Candidate
    protected: Candidate
    merged: Candidate
    base: Mapping[str, float]
    shown: Pictures

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The five models in the order in which they are shown."""
        return (self.original, self.partner_alone, self.control, self.protected, self.merged)


def compare(defender: str, partner: str, method: MergeMethod, *, shown: int = 8) -> Comparison:
    """Merge a partner with a defender and with its protected release, and measure all five models on both tasks.

    Args:
        defender: name of a task, and so of the model fine-tuned on it.
        partner: name of another task.
        method: the merge, with its settings.
        shown: how many pictures to keep the answers to.
    """
    tasks = (defender, partner)
    base, own, other = (load_model(name).state_dict() for name in ("base", defender, partner))
    released = load_release(defender).state_dict()
    control = model_of(method.merge(base, [own, other]))
    merged = model_of(method.merge(base, [released, other]))

    def candidate(title: str, note: str, predictions: Predictions) -> Candidate:
        return Candidate(title, note, _accuracy(predictions), tuple(predictions[defender][:shown]))

    return Comparison(
        defender=defender,
        partner=partner,
        original=candidate("Defender", f"fine-tuned on {defender}", _of_shipped(defender, tasks)),
        partner_alone=candidate("Partner", f"fine-tuned on {partner}", _of_shipped(partner, tasks)),
        control=candidate("Merge, unprotected", "defender and partner", _predict(control, tasks)),
        protected=candidate("Protected release", "the defender, as published", _of_release(defender, tasks)),
        merged=candidate("Merge, protected", "protected release and partner", _predict(merged, tasks)),
        base=_accuracy(_of_shipped("base", tasks)),
        shown=pictures(defender, "test", shown),
    )


def _predict(model: ViTForImageClassification, tasks: tuple[str, ...]) -> Predictions:
    return {task: classification(task).predictions(model) for task in tasks}


@cache
def _of_shipped(name: str, tasks: tuple[str, ...]) -> Predictions:
    return _predict(load_model(name), tasks)


@cache
def _of_release(name: str, tasks: tuple[str, ...]) -> Predictions:
    return _predict(load_release(name), tasks)


def _accuracy(predictions: Predictions) -> dict[str, float]:
    accuracy = {}
    for task, predicted in predictions.items():
        labels = classification(task).labels
        accuracy[task] = sum(own == label for own, label in zip(predicted, labels, strict=True)) / len(labels)
    return accuracy
