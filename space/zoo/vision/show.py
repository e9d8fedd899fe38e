"""A sheet of test pictures: a row per task, a picture per class."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from space.zoo.vision.data import pictures
from space.zoo.vision.tasks import IMAGE_SIZE, TASKS

_ZOOM = 2  # screen pixels per pixel
_GAP = 4
_WHITE = (255, 255, 255)


def show(folder: Path) -> None:
    """Write vision-tasks.png: for each task in the order of `TASKS` the first test picture of each of its classes."""
    side = _ZOOM * IMAGE_SIZE
    widest = max(len(task.classes) for task in TASKS.values())
    sheet = Image.new("RGB", (widest * (side + _GAP), len(TASKS) * (side + _GAP)), _WHITE)
    for row, (name, task) in enumerate(TASKS.items()):
        made = pictures(name, "test", 200)
        for column in range(len(task.classes)):
            first = int((made.labels == column).nonzero()[0, 0])
            large = Image.fromarray(made.pixels[first].permute(1, 2, 0).numpy()).resize(
                (side, side), Image.Resampling.NEAREST
            )
            sheet.paste(large, (column * (side + _GAP), row * (side + _GAP)))
    sheet.save(folder / "vision-tasks.png")
