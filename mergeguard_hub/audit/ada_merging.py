"""AdaMerging in an audit: coefficients that are learned on the inputs of both tasks, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mergeguard_hub.attacks import Candidate, Unlabelled, Workshop
from mergeguard_hub.attacks.candidates import Wish, enter
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.tasks import ClassificationTask, Task
from mergeguard_hub.errors import AttackError
from mergeguard_hub.merging import AdaMerging

_INPUTS, _BATCH = 64, 16  # unlabelled pictures of each task, the last ones; 16 at a time is the authors' choice

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class AdaMergingSearch:
    """Merge by AdaMerging: one coefficient per model, one per tensor, and both with trimmed task vectors (++).

    Yang et al. 2024, arXiv 2310.02575; see `AdaMerging`. It takes minutes a cell, so it is tried where it is named.

    Attributes:
        steps: of Adam; fewer than the authors' 500, with a learning rate ten times theirs to reach as far: our choice.
        learning_rate: of Adam.
    """

    title: ClassVar[str] = "AdaMerging"
    paper: ClassVar[str] = "https://arxiv.org/abs/2310.02575"
    needs: ClassVar[frozenset[Wish]] = frozenset({"unlabelled"})

    steps: int = 50
    learning_rate: float = 1e-2

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield the four merges; see `MergeAttack.candidates`."""
        enter(self, workshop)
        if workshop.unlabelled is None:
            return
        models = [workshop.protected, *workshop.partners]
        for density in (None, 0.2):
            for layer_wise in (False, True):
                method = AdaMerging(layer_wise, density, steps=self.steps, learning_rate=self.learning_rate)
                found = method.learn(workshop.base, models, workshop.unlabelled.logits, workshop.unlabelled.tasks)
                rows = list(found.coefficients.values())
                ours, theirs = (sum(row[side] for row in rows) / len(rows) for side in (0, 1))
                label = f"AdaMerging{'' if density is None else '++'}, {'per tensor' if layer_wise else 'per model'}"
                yield Candidate(label, {"mean ours": ours, "mean theirs": theirs}, found.weights)


def unlabelled_pictures(base: ModelFolder, tasks: Sequence[Task[Any]], models: Sequence[Tensors]) -> Unlabelled:
    """Return the last pictures of each task, and what answers them with any weights.

    Args:
        base: folder of the base model, for its class.
        tasks: of the models that are merged.
        models: base, release and partner, by which tensors on disk are recognised in memory.

    Raises:
        AttackError: a task is not of pictures as a tensor, or a tensor is fused when it is loaded.
    """
    for task in tasks:
        if not isinstance(task, ClassificationTask) or not isinstance(task.images, Tensor):
            raise AttackError(f"AdaMerging is about the entropy of classes, and {task.name!r} is no task of pictures.")
    module, names = _recognised(base, models)

    def logits(weights: Tensors, batch: tuple[Tensor, slice | None]) -> Tensor:
        pixels, part = batch
        given = {memory: weights[disk].to(torch.float32) for memory, disk in names.items()}
        found: Tensor = functional_call(module, given, kwargs={"pixel_values": pixels}).logits
        return found if part is None else found[:, part]

    return Unlabelled(logits, [_batches(task) for task in tasks])


def _batches(task: Any) -> list[tuple[Tensor, slice | None]]:
    return [(pixels, task.logits) for pixels in task.images[-_INPUTS:].split(_BATCH)]


def _recognised(base: ModelFolder, models: Sequence[Tensors]) -> tuple[nn.Module, dict[str, str]]:
    """Return a module, and parameter -> tensor on disk, told by the values in all models."""
    loaded = []
    for weights in models:
        with base.loaded_with(weights) as module:
            loaded.append(module)
    held = [dict(module.named_parameters()) for module in loaded]
    names: dict[str, str] = {}
    for memory in held[0]:
        for disk in (name for name in models[0] if name not in names.values()):
            if all(_equal(own[memory], weights[disk]) for own, weights in zip(held, models, strict=True)):
                names[memory] = disk
                break
        else:
            raise AttackError(f"AdaMerging cannot find {memory!r} among the tensors on disk: it is fused when loaded.")
    return loaded[0], names


def _equal(held: Tensor, stored: Tensor) -> bool:
    return held.shape == stored.shape and torch.equal(held.detach().to(stored.dtype), stored)
