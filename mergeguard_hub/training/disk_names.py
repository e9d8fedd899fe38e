"""From the names of a model's parameters to those of the tensors in its folder, which need not be the same."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.criticality import Criticality


def on_disk(criticality: Criticality, model: nn.Module, folder: str | Path) -> Criticality:
    """Give a ranking that was measured in memory the names of the folder's tensors, for `negate_folder`.

    Libraries rename and fuse tensors when they load them. Tensors are recognised by their name, else by their values;
    of several with the same values the first is taken, in the folder's order.

    Args:
        criticality: the ranking, in the names of `model`.
        model: the model, with the weights that the folder holds.
        folder: its model folder.

    Raises:
        TrainingError: a ranked tensor is not in the folder, because it is fused there or has other weights.
    """
    checkpoint, named = Checkpoint.open(Path(folder)), dict(model.named_parameters())
    taken: set[str] = set()
    renamed: dict[str, str] = {}
    for name in (name for names in criticality.layers.values() for name in names):
        found = _found(named[name].detach(), name, checkpoint, taken)
        if found is None:
            raise TrainingError(
                f"{folder} holds no tensor with the values of {name!r}: it is stored fused or split, or the folder "
                "holds other weights. Save the model there first; rank without data where the layout differs."
            )
        taken.add(found)
        renamed[name] = found
    layers = {
        renamed.get(layer, layer): tuple(renamed[name] for name in names) for layer, names in criticality.layers.items()
    }
    drops = {renamed.get(layer, layer): drop for layer, drop in criticality.drops.items()}
    return Criticality(drops, layers, criticality.method, criticality.forwards)


def _found(tensor: Tensor, name: str, checkpoint: Checkpoint, taken: Collection[str]) -> str | None:
    entries = checkpoint.entries
    for candidate in ([name] if name in entries else []) + [other for other in entries if other != name]:
        if candidate not in taken and entries[candidate].shape == tuple(tensor.shape):
            stored = checkpoint.tensor(candidate)
            if torch.equal(stored, tensor.cpu().to(stored.dtype)):
                return candidate
    return None
