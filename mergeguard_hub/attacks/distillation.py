"""Distillation: a model of the free-rider's own learns what others answer, and no weight of theirs is merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mergeguard_hub.attacks.recovery import Batch, CostPoint, recover
from mergeguard_hub.errors import AttackError

Logits = Callable[[nn.Module, Batch], Tensor]
"""(model, batch) -> logits [*, num_classes]."""


def lessons(teacher: nn.Module, batches: Iterable[Batch], *, logits: Logits) -> list[dict[str, Any]]:
    """Let a model answer inputs, for another to learn from; labels are not looked at.

    Args:
        teacher: the release, or any other model that answers.
        batches: inputs.
        logits: runs a model on a batch.
    """
    teacher.eval()
    with torch.no_grad():
        return [{"answers": logits(teacher, batch), "batch": batch} for batch in batches]


def distil(
    student: nn.Module,
    taught: Sequence[Mapping[str, Any]],
    *,
    logits: Logits,
    temperature: float = 2.0,
    steps: int = 100,
    lr: float = 2e-4,
    measure: Callable[[nn.Module], float] | None = None,
    at: Sequence[int] = (0, 10, 30, 100),
) -> list[CostPoint]:
    """Train a model in place to answer as its teachers do, and return its curve of costs.

    Hinton et al. 2015 (arXiv 1503.02531): the cross entropy of both softmaxes at a temperature, times its square. No
    protection of weights can stand in its way, because it uses the release only as it is meant to be used; it is here
    so that its cost stands beside that of a merge.

    Args:
        student: trained in place, and left in eval mode: the base, or the free-rider's own model.
        taught: from `lessons`, of one teacher or of several.
        logits: runs a model on a batch.
        temperature: 2 is our choice.
        steps: see `recover`.
        lr: see `recover`.
        measure: see `recover`.
        at: see `recover`.

    Raises:
        AttackError: the temperature is not above 0, or see `recover`.
    """
    if not temperature > 0:
        raise AttackError(f"temperature is {temperature}, and must be above 0.")

    def loss(model: nn.Module, lesson: Mapping[str, Any]) -> Tensor:
        own = functional.log_softmax(logits(model, lesson["batch"]) / temperature, dim=-1)
        wanted = functional.softmax(lesson["answers"] / temperature, dim=-1)
        return -(wanted * own).sum(dim=-1).mean() * temperature**2

    return recover(student, taught, steps=steps, lr=lr, measure=measure, at=at, loss=loss)
