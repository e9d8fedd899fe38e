"""The eight tasks of the vision family, the roles they play, and the labels of its one classifier.

The roles are those of the eight datasets on which merges of vision models are usually compared. Nothing of those
datasets is here: every picture is drawn by this package, but for scikit-learn's handwritten digits.

| task     | in the role of | what it shows                                                       |
|----------|----------------|---------------------------------------------------------------------|
| scenes   | SUN397         | places from a walker's eye, at any hour                             |
| vehicles | Cars           | kinds of cars that differ in their outline, from either side        |
| aerial   | RESISC45       | sites seen from above, from every direction                         |
| land     | EuroSAT        | what land is used for, in patches too coarse to show single things  |
| numbers  | SVHN           | handwritten digits in colour on clutter, between others             |
| signs    | GTSRB          | road signs, turned, tilted, in bad light                            |
| digits   | MNIST          | handwritten digits                                                  |
| textures | DTD            | patterns in any two colours                                         |
"""

from __future__ import annotations

import string
from dataclasses import dataclass

IMAGE_SIZE = 32

_DIGITS = tuple(string.digits)
_SCENES = (
    *("beach", "mountains", "forest", "dunes", "city", "field"),
    *("road", "room", "corridor", "river", "harbour", "waterfall"),
)
_VEHICLES = (
    *("saloon", "hatchback", "estate", "coupe", "convertible"),
    *("pickup", "van", "minibus", "off-roader", "lorry"),
)
_AERIAL = (
    *("runway", "crossroads", "roundabout", "bridge", "tanks", "stadium"),
    *("courts", "car park", "piers", "terraces", "round field", "solar field"),
)
_LAND = ("ploughland", "orchard", "meadow", "wood", "lake", "river", "road", "housing", "industry", "marsh")
_SIGNS = (
    *("bend left", "bend right", "crossing", "bumps", "danger", "give way"),
    *("no entry", "closed", "straight on", "turn left", "turn right", "roundabout"),
    *("stop", "priority", "parking", "one way"),
)
_TEXTURES = (
    *("striped", "chequered", "dotted", "ringed", "zigzag", "wavy"),
    *("gridded", "bricked", "woven", "scaly", "cracked", "blotched"),
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
    ("scenes", "scenes", _SCENES),
    ("vehicles", "kinds of vehicle", _VEHICLES),
    ("aerial", "aerial views", _AERIAL),
    ("land", "land use", _LAND),
    ("numbers", "house numbers", _DIGITS),
    ("signs", "road signs", _SIGNS),
    ("digits", "handwritten digits", _DIGITS),
    ("textures", "textures", _TEXTURES),
)

ID2LABEL = {
    task.start + index: f"{task.name}/{name}" for task in TASKS.values() for index, name in enumerate(task.classes)
}
