"""A base model and fine-tuned ones for the tests of the engines: tiny Llamas in shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests import tiny

CHANGE = 0.05  # how far a fine-tuned weight is from the base's, beside weights of about 0.3


def fine_tuned(model: Any, folder: Path, *, seed: int, **options: Any) -> Path:
    """Save a copy of a model whose every weight has moved a little."""
    generator = torch.Generator().manual_seed(seed)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_((CHANGE * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype))
    tiny.save(model, folder, **options)
    model.load_state_dict(state)
    return folder


def family(root: Path, model: Any, *, count: int = 2, **options: Any) -> list[Path]:
    """Save a base model and `count` fine-tuned ones, the base first."""
    base = tiny.save(model, root / "base", **options)
    return [base, *(fine_tuned(model, root / f"model{seed}", seed=seed, **options) for seed in range(1, count + 1))]


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return every tensor of a folder, whatever its shards."""
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def distance(one: Path, other: Path) -> float:
    """Return the largest difference between the weights of two folders, which have the same tensors."""
    left, right = weights_of(one), weights_of(other)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)
