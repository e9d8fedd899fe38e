"""Recovery fine-tuning of a merge: what a few examples and steps of the stolen task buy back, as a curve of costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mergeguard_hub.errors import AttackError

Batch = Any  # whatever `loss` takes; by default keyword arguments of the model's forward, labels among them
Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class CostPoint:
    """What recovery has cost and brought after some steps.

    Attributes:
        steps: optimiser steps taken.
        examples: different examples seen so far; passes over the same batches count once.
        train_s: seconds of training alone, without measuring.
        loss: training loss of the last step, nats; that of the first batch before any step.
        score: what `measure` returned; the negative loss without one.
    """

    steps: int
    examples: int
    train_s: float
    loss: float
    score: float


def model_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the loss that the model itself computes from a batch of keyword arguments with labels."""
    result: Tensor = model(**batch).loss
    return result


def recover(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    steps: int = 100,
    lr: float = 2e-4,
    measure: Callable[[nn.Module], float] | None = None,
    at: Sequence[int] = (0, 10, 30, 100),
    loss: Loss = model_loss,
    erased: Mapping[str, Tensor] | None = None,
) -> list[CostPoint]:
    """Fine-tune a merged model in place, with AdamW and nothing else, and return its curve of costs.

    Args:
        model: the merge, loaded; it is trained in place and left in eval mode.
        batches: the free-rider's labelled data; they are gone through again and again.
        steps: optimiser steps in all.
        lr: learning rate; 2e-4 is what docs/findings.md used on small vision models.
        measure: model -> score, higher is better; called at every point in eval mode.
        at: steps at which a point is taken; those beyond `steps` are left out, the last step always is one.
        loss: (model, batch) -> loss.
        erased: parameter name -> direction of the same shape that gradients lose (see `grad_erase`).

    Returns:
        Points in the order of their steps.

    Raises:
        AttackError: there is no batch, steps or lr is out of range, or the loss is NaN or infinite.
    """
    data = list(batches)
    if not data or steps < 0 or not lr > 0:
        raise AttackError(f"{len(data)} batches, {steps} steps and lr {lr}: give a batch, steps >= 0 and lr > 0.")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr)
    points = sorted({step for step in at if 0 <= step <= steps} | {steps})
    curve: list[CostPoint] = []
    spent_s, latest = 0.0, _value(loss, model, data[0])
    for step, batch in zip(range(steps + 1), itertools.cycle(data), strict=False):
        if step in points:
            model.eval()
            with torch.no_grad():
                score = measure(model) if measure is not None else -latest
            seen = sum(_examples(one) for one in data[: min(step, len(data))])
            curve.append(CostPoint(step, seen, spent_s, latest, score))
        if step < steps:
            start = time.perf_counter()
            latest = _step(model, optimizer, loss, batch, erased or {})
            spent_s += time.perf_counter() - start
    model.eval()
    return curve


def _value(loss: Loss, model: nn.Module, batch: Batch) -> float:
    model.eval()
    with torch.no_grad():
        return float(loss(model, batch))


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, batch: Batch, erased: Mapping[str, Tensor]
) -> float:
    model.train()
    optimizer.zero_grad()
    found = loss(model, batch)
    if not bool(torch.isfinite(found)):
        raise AttackError(
            f"the loss is {float(found.detach())} during recovery: the merge is broken, or lr is too large."
        )
    torch.autograd.backward([found])
    for name, parameter in model.named_parameters():
        if name in erased and parameter.grad is not None:
            parameter.grad = without(parameter.grad, erased[name])
    optimizer.step()
    return float(found.detach())


def without(gradient: Tensor, direction: Tensor) -> Tensor:
    """Return a gradient minus its part along a direction; the direction's length and sign do not matter.

    >>> without(torch.tensor([3.0, 4.0]), torch.tensor([0.0, -2.0]))
    tensor([3., 0.])
    """
    wide, along = gradient.double(), direction.double()  # Adam blows up whatever rounding leaves of the direction
    power = float(along.square().sum())
    if power == 0.0:
        return gradient
    return (wide - (wide * along).sum() / power * along).to(gradient.dtype)


def _examples(batch: Batch) -> int:
    """Count the rows of the first tensor in a batch."""
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, Sequence) else [batch]
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 0)
