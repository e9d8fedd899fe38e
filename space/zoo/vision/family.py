"""The shipped models: load them, classify with them, measure them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import ViTConfig, ViTForImageClassification

from space.zoo.vision.data import Pictures
from space.zoo.vision.tasks import ID2LABEL, IMAGE_SIZE, TASKS

WEIGHTS = Path(__file__).parent / "weights"
RESULTS = Path(__file__).parent / "results.json"
MODELS = ("base", *TASKS)

_BATCH = 250


def architecture() -> ViTConfig:
    """Return the family's architecture: 6 layers of width 64 on 16 patches, one classifier for all tasks."""
    return ViTConfig(
        hidden_size=64,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=256,
        image_size=IMAGE_SIZE,
        patch_size=4,
        num_channels=1,
        initializer_range=0.1,  # wider than a large model's 0.02: this small one learns several times faster from it
        id2label=ID2LABEL,
        label2id={label: index for index, label in ID2LABEL.items()},
    )


def load_model(folder: str | Path) -> ViTForImageClassification:
    """Load a model of the family, by its name in `MODELS` or from a folder, ready to classify."""
    path = WEIGHTS / folder if folder in MODELS else Path(folder)
    model: ViTForImageClassification = ViTForImageClassification.from_pretrained(path)
    model.train(False)
    return model


def model_of(weights: Mapping[str, torch.Tensor]) -> ViTForImageClassification:
    """Make a model of the family that has these weights, named as in `state_dict`."""
    model = ViTForImageClassification(architecture())
    model.load_state_dict(dict(weights))
    model.train(False)
    return model


@torch.inference_mode()
def classify(model: ViTForImageClassification, task: str, pixels: torch.Tensor) -> torch.Tensor:
    """Return the predicted class of each picture among the classes of its task.

    Args:
        model: of this family.
        task: the task that the pictures belong to; logits of other tasks are left out of the comparison.
        pixels: [n, 1, 16, 16] in [0, 1].

    Returns:
        int64 [n], counted from 0 within the task.
    """
    logits = [task_logits(model, task, part) for part in torch.split(pixels, _BATCH)]
    return torch.cat(logits).argmax(dim=-1)


def task_logits(model: ViTForImageClassification, task: str, pixels: torch.Tensor) -> torch.Tensor:
    """Return the logits of one task. [n, 1, 16, 16] in [0, 1] -> [n, classes of the task]."""
    logits: torch.Tensor = model(pixel_values=pixels * 2 - 1).logits
    return logits[:, TASKS[task].logits]


def accuracy(model: ViTForImageClassification, task: str, pictures: Pictures) -> float:
    """Return the fraction of pictures in [0, 1] that the model puts in the right class of their task."""
    predicted = classify(model, task, pictures.pixels)
    return float((predicted == pictures.labels).double().mean())
