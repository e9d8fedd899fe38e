"""Image classification: what fraction of pictures does a model put in the right class?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mergeguard_hub.audit.tasks.evaluating import evaluating
from mergeguard_hub.audit.tasks.task import Score, first
from mergeguard_hub.errors import TaskError

if TYPE_CHECKING:
    from PIL.Image import Image

Processor = Callable[..., Any]
"""An image processor of transformers: gets `images` and `return_tensors="pt"`, returns "pixel_values"."""

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
BATCH_SIZE = 64  # our choice


@dataclass(frozen=True, eq=False)  # tensors have no plain equality
class ClassificationTask:
    """Pictures with labels, put to any model that returns `.logits` for `pixel_values`.

    Attributes:
        name: short name, for files and tables.
        title: name for readers.
        images: a tensor `[pictures, channels, height, width]` as the model expects it, or pictures that the processor
            turns into one: PIL images, or paths that are opened batch by batch.
        labels: class number of each picture.
        classes: the classes' names, in the order of the logits.
        logits: the part of the model's logits that belongs to these classes; None: all.
        processor: turns pictures into `pixel_values`; needed unless `images` is a tensor.
        batch_size: pictures at a time.
        metric: what a score counts.

    Raises:
        TaskError: the numbers of pictures and labels differ, a label names no class, or the processor is missing.
    """

    name: str
    title: str
    images: Tensor | Sequence[Image | Path]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    logits: slice | None = None
    processor: Processor | None = None
    batch_size: int = BATCH_SIZE
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(int(label) for label in self.labels))  # a tensor is welcome too
        if len(self.images) != len(self.labels):
            raise TaskError(
                f"{self.name!r} has {len(self.images)} pictures and {len(self.labels)} labels; give as many."
            )
        for position, label in enumerate(self.labels):
            if not 0 <= label < len(self.classes):
                raise TaskError(
                    f"Picture {position} of {self.name!r} has label {label}, and there are {len(self.classes)} "
                    "classes: labels count from 0."
                )
        if self.processor is None and not isinstance(self.images, Tensor):
            raise TaskError(
                f"{self.name!r} has pictures and no processor to turn them into tensors: give the model's own, "
                "AutoImageProcessor.from_pretrained(model)."
            )

    @property
    def chance(self) -> float:
        """Return the accuracy of guessing, all classes being as likely."""
        return 1 / len(self.classes)

    @classmethod
    def from_folder(cls, folder: str | Path, *, processor: Processor, **settings: Any) -> ClassificationTask:
        """Read the "imagefolder" layout of datasets: one folder per class, its pictures inside.

        Classes are the folders in alphabetical order; pictures are opened batch by batch.

        Args:
            folder: the folder of the classes, or of one split of them; its name is the task's unless `name` is given.
            processor: the model's image processor.
            **settings: the other attributes of the task.

        Raises:
            TaskError: there is no folder with a picture in it.
        """
        folder = Path(folder)
        classes = sorted(place.name for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
        found = [(path, label) for label, name in enumerate(classes) for path in _pictures(folder / name)]
        if not found:
            raise TaskError(f"{folder} holds no class/picture.png: give the folder above the classes' folders.")
        images, labels = zip(*found, strict=True)
        named = {"name": folder.name, "title": folder.name, "classes": tuple(classes), **settings}
        return cls(images=images, labels=labels, processor=processor, **named)

    @classmethod
    def from_hub(
        cls, path_or_id: str, *, split: str, processor: Processor, revision: str | None = None, **settings: Any
    ) -> ClassificationTask:
        """Read a dataset with `datasets.load_dataset`: from the Hub, or from a folder that it understands.

        The pictures are its first column of pictures, the labels its first column of class labels.

        Args:
            path_or_id: id of a dataset on the Hub, or a folder.
            split: "test", "test[:500]", ...
            processor: the model's image processor.
            revision: of the repository.
            **settings: the other attributes of the task.

        Raises:
            TaskError: `datasets` is not installed, or the dataset lacks pictures or class labels.
        """
        from mergeguard_hub.audit.tasks.hub_pictures import read_dataset

        images, labels, classes = read_dataset(path_or_id, split=split, revision=revision)
        name = path_or_id.rstrip("/").rpartition("/")[2]
        named = {"name": name, "title": name, "classes": classes, **settings}
        return cls(images=images, labels=labels, processor=processor, **named)

    def predictions(self, subject: nn.Module, *, limit: int | None = None) -> list[int]:
        """Return the class number that the model gives to each of the first `limit` pictures.

        Raises:
            TaskError: the model has another number of classes than the task, or its logits are not numbers.
        """
        count = len(first(self.labels, limit))
        found: list[int] = []
        with evaluating(subject):
            for start in range(0, count, self.batch_size):
                found += self._classify(subject, slice(start, min(start + self.batch_size, count)))
        return found

    def score(self, subject: nn.Module, *, limit: int | None = None) -> Score:
        """Put the pictures to a model; see `Task.score`."""
        found = self.predictions(subject, limit=limit)
        return Score(tuple(float(own == label) for own, label in zip(found, self.labels, strict=False)))

    def _classify(self, subject: nn.Module, part: slice) -> list[int]:
        weight = next(subject.parameters())
        pixels = self._pixels(part).to(weight.device, weight.dtype)
        logits: Tensor = subject(pixel_values=pixels).logits
        chosen = logits if self.logits is None else logits[:, self.logits]
        if chosen.shape[1] != len(self.classes):
            raise TaskError(
                f"The model gives {chosen.shape[1]} logits and {self.name!r} has {len(self.classes)} classes: set "
                "`logits` to the slice that belongs to them, or use a model with this head."
            )
        return [int(label) for label in chosen.argmax(dim=1)]

    def _pixels(self, part: slice) -> Tensor:
        """Return pictures as `[batch, channels, height, width]`."""
        if isinstance(self.images, Tensor):
            return self.images[part]
        if self.processor is None:
            raise TaskError(f"{self.name!r} has pictures and no processor to turn them into tensors.")
        opened = [_open(picture) for picture in self.images[part]]
        pixels: Tensor = self.processor(images=opened, return_tensors="pt")["pixel_values"]
        return pixels


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def _open(picture: Image | Path) -> Image:
    from PIL import Image

    if not isinstance(picture, Path):
        return picture.convert("RGB")
    with Image.open(picture) as opened:
        return opened.convert("RGB")
