"""The shipped models: load them, classify with them, measure them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from transformers import ViTConfig, ViTForImageClassification

from mergeguard_hub.audit.tasks import ClassificationTask
from space.zoo.vision.data import pictures
from space.zoo.vision.tasks import ID2LABEL, IMAGE_SIZE, TASKS

WEIGHTS = Path(__file__).parent / "weights"
RESULTS = Path(__file__).parent / "results.json"
MODELS = ("base", *TASKS)

_BATCH = 250


def architecture() -> ViTConfig:
    """Return the family's architecture: 6 layers of width 64 on 16 patches, one classifier for all tasks.

    Patches of 8 x 8 pixels in three colours (192 numbers for 64 dimensions) leave 16 of them, so that a picture costs
    no more than a grey one of 16 x 16 in patches of 4, and a training step a quarter of what patches of 4 would cost.
    """
    return ViTConfig(
        hidden_size=64,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=256,
        image_size=IMAGE_SIZE,
        patch_size=8,
        num_channels=3,
        initializer_range=0.1,  # wider than a large model's 0.02: this small one learns several times faster from it
        id2label=ID2LABEL,
        label2id={label: index for index, label in ID2LABEL.items()},
    )


def load_model(folder: str | Path) -> ViTForImageClassification:
    """Load a model of the family in float32, by its name in `MODELS` or from a folder, ready to classify."""
    path = WEIGHTS / folder if folder in MODELS else Path(folder)
    model: ViTForImageClassification = ViTForImageClassification.from_pretrained(path, dtype=torch.float32)
    model.train(False)
    return model


def model_of(weights: Mapping[str, torch.Tensor]) -> ViTForImageClassification:
    """Make a model of the family that has these weights, named as in `state_dict`."""
    model = ViTForImageClassification(architecture())
    model.load_state_dict(dict(weights))
    model.train(False)
    return model


@cache
def classification(task: str) -> ClassificationTask:
    """Return a task's test pictures, to be put to any model of the family.

    Args:
        task: a name in `TASKS`; logits of other tasks are left out of the comparison.
    """
    made, known = pictures(task, "test"), TASKS[task]
    return ClassificationTask(
        name=task,
        title=known.title,
        images=as_input(made.pixels),
        labels=tuple(made.labels.tolist()),
        classes=known.classes,
        logits=known.logits,
        batch_size=_BATCH,
    )


def as_input(pixels: torch.Tensor) -> torch.Tensor:
    """Return pictures as the models expect them. uint8 [n, 3, 32, 32] -> float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1
