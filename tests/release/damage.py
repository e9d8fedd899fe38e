"""Ways to spoil a saved model or a release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Change = Callable[[Path], None]
NAME = "model.layers.1.mlp.up_proj.weight"


def with_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    """Change the tensors of a folder."""

    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def with_json(file: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change one of its JSON files."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        change(content)
        (folder / file).write_text(json.dumps(content))

    return apply


def fill(value: float) -> Change:
    """Change one weight."""
    return with_weights(lambda tensors: tensors[NAME].view(-1)[7:8].fill_(value))


def truncate(folder: Path) -> None:
    """Cut its weights off."""
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(5000)
