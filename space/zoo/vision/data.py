"""The pictures of the vision family: scikit-learn's handwritten digits and drawn tasks, made again from fixed seeds.

Nothing is downloaded: the digits (UCI "Optical Recognition of Handwritten Digits", test part, 1,797 scans) come with
scikit-learn, and everything else is drawn.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits

from space.zoo.vision.drawing import DRAWINGS, Grey, Random
from space.zoo.vision.tasks import IMAGE_SIZE, TASKS

Split = Literal["train", "test"]

TRAIN_SCANS = 1300  # of 1,797; the other 497 are seen in no training
_DRAWN = {"train": 6000, "test": 1000}
_COPIES = {"train": 4, "test": 2}  # of each scan, shifted or on different grounds


@dataclass(frozen=True)
class Pictures:
    """Pictures of one task with their classes.

    Attributes:
        pixels: float32 [n, 1, 16, 16] in [0, 1], one of 256 grey values each.
        labels: int64 [n], counted from 0 within the task.
    """

    pixels: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Pictures:
        """Return the first pictures only; the order is random, so they are a fair sample."""
        return Pictures(self.pixels[:count], self.labels[:count])


@cache
def pictures(task: str, split: Split) -> Pictures:
    """Make the pictures of a task; the same every time, and train and test share no scan and no drawing.

    Args:
        task: a name in `TASKS`.
        split: "train" or "test".
    """
    # RandomState and not default_rng: numpy promises that its numbers never change between versions.
    random = Random(zlib.crc32(f"{task}/{split}".encode()))
    if task in DRAWINGS:
        labels = random.randint(len(TASKS[task].classes), size=_DRAWN[split])
        images = [DRAWINGS[task](int(label), random) for label in labels]
    else:
        scans, scan_labels = _scans(split)
        copies = 1 if task == "digits" and split == "test" else _COPIES[split]
        order = np.tile(np.arange(len(scans)), copies)
        labels = scan_labels[order]
        images = [_on_clutter(scans[i], random) if task == "clutter" else scans[i] for i in order]
        if split == "train":
            images = [_shifted(image, random) for image in images]
    pixels = np.round(np.stack(images) * 255).astype(np.float32) / 255
    return Pictures(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels.astype(np.int64)))


@cache
def _scans(split: Split) -> tuple[Grey, npt.NDArray[np.int64]]:
    """Return scikit-learn's 8 x 8 scans of this split at 16 x 16, in an order that is always the same."""
    digits = load_digits()
    order = Random(1).permutation(len(digits.target))
    order = order[:TRAIN_SCANS] if split == "train" else order[TRAIN_SCANS:]
    small = torch.from_numpy(digits.images[order] / 16)[:, None]
    large = torch.nn.functional.interpolate(small, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear")
    return large[:, 0].numpy(), digits.target[order]


def _shifted(image: Grey, random: Random) -> Grey:
    """Move a picture by up to one pixel each way."""
    down, right = random.randint(-1, 2, size=2)
    return np.roll(image, (int(down), int(right)), axis=(0, 1))


def _on_clutter(scan: Grey, random: Random) -> Grey:
    """Put a scan on a sloping, noisy ground, dimmed; half of the pictures become their own negative."""
    slope = np.linspace(-0.2, 0.2, IMAGE_SIZE)
    across, down = random.standard_normal(2)
    ground = random.uniform(0, 0.4) + slope[None] * across + slope[:, None] * down
    ground = ground + 0.13 * random.standard_normal(scan.shape)
    image = np.clip(ground + scan * random.uniform(0.5, 1.0), 0, 1)
    return 1 - image if random.uniform() < 0.5 else image
