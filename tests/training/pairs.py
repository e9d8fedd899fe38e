"""Tiny fine-tuned models with their bases, and data to measure them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests import tiny


def moved(model: Any, *, size: float = 0.05, seed: int = 7) -> Any:
    """Move every parameter of a model by noise, in place, as a fine-tuning would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return model


def pair(kind: str = "vit", **settings: Any) -> tuple[Any, Any]:
    """Return a fine-tuned model and its base, both in eval mode."""
    make = tiny.FAMILIES[kind]
    return moved(make(**settings)), make(**settings)


def folders(place: Path, kind: str = "vit", **settings: Any) -> tuple[Path, Path, Any, Any]:
    """Save a pair; return the folder of the fine-tuned model, that of the base, and both models."""
    tuned, base = pair(kind, **settings)
    return tiny.save(tuned, place / "tuned"), tiny.save(base, place / "base"), tuned, base


def batches(model: Any, count: int = 3, rows: int = 4) -> list[dict[str, Tensor]]:
    """Return batches with random labels, the same every time."""
    found = []
    for seed in range(count):
        inputs = tiny.example_inputs(model, seed=seed + 1, batch=rows)
        if "input_ids" in inputs:
            labels = inputs["input_ids"]
        else:
            labels = torch.randint(3, (rows,), generator=torch.Generator().manual_seed(seed))
        found.append({**inputs, "labels": labels})
    return found


def weights(model: Any) -> dict[str, Tensor]:
    """Return a copy of all parameters by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
