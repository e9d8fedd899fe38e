"""The five tasks of the vision family and the labels of its one classifier."""

from __future__ import annotations

import string
from dataclasses import dataclass

IMAGE_SIZE = 16

_DIGITS = tuple(string.digits)
_STRIPES = tuple(
    f"{width} {direction}"
    for width in ("fine", "wide")
    for direction in ("vertical", "falling", "horizontal", "rising")
)


@dataclass(frozen=True)
class Task:
    """One task: what its pictures show and which of the classifier's logits belong to it.

    Attributes:
        name: for example "digits"; also the name of the model fine-tuned on it.
        title: the same in a few words, for people.
        classes: names of its classes, in the order of its labels.
        start: index of its first class among all classes of the family.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    start: int

    @property
    def logits(self) -> slice:
        """The part of the classifier's last dimension that belongs to this task."""
        return slice(self.start, self.start + len(self.classes))


def _table(*rows: tuple[str, str, tuple[str, ...]]) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    start = 0
    for name, title, classes in rows:
        tasks[name] = Task(name, title, classes, start)
        start += len(classes)
    return tasks


TASKS = _table(
    ("digits", "handwritten digits", _DIGITS),
    ("clutter", "digits on clutter", _DIGITS),
    ("letters", "letters", tuple(string.ascii_uppercase)),
    ("textures", "textures", (*_STRIPES, "checks", "rings")),
    ("shapes", "shapes", ("triangle", "square", "pentagon", "star", "disc", "ring", "plus", "cross")),
)

ID2LABEL = {
    task.start + index: f"{task.name}/{name}" for task in TASKS.values() for index, name in enumerate(task.classes)
}
