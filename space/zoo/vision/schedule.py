"""How long and on what each model of the family is trained."""

from __future__ import annotations

from dataclasses import dataclass

from space.zoo.vision.tasks import TASKS

ALL = 6_000  # no task has more training pictures


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes:
        pictures: how many training pictures of each task it sees, by the task's name.
        steps: updates of AdamW, with one cycle of the learning rate.
        learning_rate: the highest.
        batch_size: pictures per step and task.
        frozen_classifier: keep the classifier of the start, so that models can be merged under one classifier.
    """

    pictures: dict[str, int]
    steps: int
    learning_rate: float
    batch_size: int
    frozen_classifier: bool = True


BASE = Training(
    pictures={"digits": 100, "clutter": 1000, "letters": 600, "textures": 250, "shapes": 600},
    steps=900,
    learning_rate=1e-3,
    batch_size=32,
    frozen_classifier=False,
)
FINE_TUNES = {task: Training(pictures={task: ALL}, steps=400, learning_rate=5e-4, batch_size=64) for task in TASKS}
