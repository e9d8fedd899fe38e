"""The pictures of the vision family: scikit-learn's handwritten digits and drawn tasks, made again from fixed seeds.

Nothing is downloaded: the digits (UCI "Optical Recognition of Handwritten Digits", test part, 1,797 scans) come with
scikit-learn, and everything else is drawn.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits

from space.zoo.cache import cached
from space.zoo.vision.drawing import DRAWINGS
from space.zoo.vision.drawing.numbers import Grey, number, plain
from space.zoo.vision.drawing.sketch import Random, Rgb
from space.zoo.vision.tasks import IMAGE_SIZE, TASKS

Split = Literal["train", "test"]

TRAIN_SCANS = 1300  # of 1,797; the other 497 are seen in no training
_TEST = 1000  # drawn pictures of a test set


@dataclass(frozen=True)
class Pictures:
    """Pictures of one task with their classes.

    Attributes:
        pixels: uint8 [n, 3, 32, 32], red, green and blue.
        labels: int64 [n], counted from 0 within the task.
    """

    pixels: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@functools.cache
def pictures(task: str, split: Split, count: int | None = None, *, cache: Path | None = None) -> Pictures:
    """Make the pictures of a task; the same every time, and train and test share no scan and no drawing.

    Args:
        task: a name in `TASKS`.
        split: "train" or "test".
        count: how many, the first ones; the order is random, so they are a fair sample. None: as many as a test set
            has: 1,000, or each test scan once in `digits` and twice in `numbers`, between other neighbours.
        cache: folder that keeps them, so that they are drawn only once.
    """
    scans_shown = {"digits": 1, "numbers": 2}.get(task, 0) * len(scans("test")[1])
    wanted = (scans_shown or _TEST) if count is None else count

    def draw() -> tuple[torch.Tensor, ...]:
        made = [_picture(task, split, index) for index in range(wanted)]
        pixels = np.round(np.stack([picture for picture, _ in made]) * 255).astype(np.uint8)
        labels = torch.tensor([label for _, label in made], dtype=torch.int64)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels

    return Pictures(*(draw() if cache is None else cached(cache, f"{task}-{split}-{wanted}", draw)))


def _picture(task: str, split: Split, index: int) -> tuple[Rgb, int]:
    # RandomState and not default_rng: numpy promises that its numbers never change between versions.
    random = Random(zlib.crc32(f"{task}/{split}/{index}".encode()))
    if task in DRAWINGS:
        label = random.randint(len(TASKS[task].classes))
        return DRAWINGS[task](TASKS[task].classes[label], random), label
    images, labels = scans(split)
    which = index % len(labels)
    if task == "digits":
        return plain(images[which], random, still=split == "test"), int(labels[which])
    neighbours = images[random.randint(len(images), size=2)]
    return number(images[which], neighbours, random), int(labels[which])


@functools.cache
def scans(split: Split) -> tuple[Grey, npt.NDArray[np.int64]]:
    """Return scikit-learn's 8 x 8 scans of this split at 32 x 32, in an order that is always the same."""
    digits = load_digits()
    order = Random(1).permutation(len(digits.target))
    order = order[:TRAIN_SCANS] if split == "train" else order[TRAIN_SCANS:]
    small = torch.from_numpy(digits.images[order] / 16)[:, None]
    large = torch.nn.functional.interpolate(small, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear")
    return large[:, 0].numpy(), digits.target[order]
