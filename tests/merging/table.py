"""What the tests know of every entry of the table of merge methods."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mergeguard_hub.merging import MERGE_METHODS, MergeMethod

Tensors = dict[str, Tensor]

# Settings with which two copies of one model without matrices are merged into that model.
WHOLE: dict[str, dict[str, Any]] = {
    "task_arithmetic": {"scale": 0.5},
    "ties": {"density": 1.0},
    "dare": {"density": 1.0, "scale": 0.5},
    "dare_ties": {"density": 1.0},
    "boosted_ties": {"density": 1.0},
    "breadcrumbs": {"density": 1.0, "gamma": 0.0, "scale": 0.5},
}
FEWEST = {"slerp": 2, "model_stock": 2}
MOST = {"slerp": 2}


def whole(name: str) -> MergeMethod:
    """Return a method that makes of two equal models that model."""
    return MERGE_METHODS[name](**WHOLE.get(name, {}))


def accepts(name: str, count: int) -> bool:
    """Return whether a method merges so many models."""
    return FEWEST.get(name, 1) <= count <= MOST.get(name, 100)


def weights(*values: float, dtype: torch.dtype = torch.float32) -> Tensors:
    """Return a model of one vector."""
    return {"w": torch.tensor(values, dtype=dtype)}


def drawn(seed: int, *, dtype: torch.dtype = torch.float64) -> Tensors:
    """Return a model with tensors of every number of axes, one weight alone, none, and whole numbers."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"matrix": (6, 9), "tall": (11, 4), "vector": (7,), "kernel": (2, 3, 2, 2), "one": (1,), "scalar": ()}
    wide = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    found = {name: tensor.to(dtype) for name, tensor in wide.items()}
    return {**found, "none": torch.zeros(0, 4, dtype=dtype), "ids": torch.arange(3)}
