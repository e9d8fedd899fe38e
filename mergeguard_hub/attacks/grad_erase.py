"""GradErase: recovery that avoids the direction in which the protection is believed to push."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from mergeguard_hub.attacks.recovery import Batch, CostPoint, Loss, model_loss, recover


def probe(
    model: nn.Module, batches: Iterable[Batch], *, steps: int = 20, lr: float = 2e-4, loss: Loss = model_loss
) -> dict[str, Tensor]:
    """Return where a short fine-tune on the defender's task moves every parameter of a merge, on a copy of it.

    Args:
        model: the merge; it is not changed.
        batches: a small labelled sample of the defender's task.
        steps: of the probe.
        lr: of the probe.
        loss: (model, batch) -> loss.

    Returns:
        Parameter name -> displacement.
    """
    moved = copy.deepcopy(model)
    recover(moved, batches, steps=steps, lr=lr, at=(), loss=loss)
    before = dict(model.named_parameters())
    return {name: (p - before[name]).detach() for name, p in moved.named_parameters()}


def grad_erase(
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    sample: Iterable[Batch] | None = None,
    probe_steps: int = 20,
    steps: int = 100,
    lr: float = 2e-4,
    measure: Callable[[nn.Module], float] | None = None,
    at: Sequence[int] = (0, 10, 30, 100),
    loss: Loss = model_loss,
) -> list[CostPoint]:
    """Retrain a merge in place with every gradient made orthogonal to an estimate of the protection's direction.

    The MergeGuard paper (arXiv 2511.11851, section 7): g' = g - (<g, v> / |v|^2) v with v = -tau_G "estimated from
    limited training data". tau_G, steps, rate and amount of data are not given; our reading: tau_G is the displacement
    of a short fine-tune of the merge on a small sample of the defender's task, projected out tensor by tensor.

    Args:
        model: the merge; trained in place.
        batches: what it is retrained on.
        sample: what the direction is estimated from; None takes the first of `batches`.
        probe_steps: steps of the estimate.
        steps: see `recover`.
        lr: see `recover`.
        measure: see `recover`.
        at: see `recover`.
        loss: see `recover`.

    Returns:
        The curve of costs of the retraining; the probe is not in it.
    """
    found = probe(model, batches[:1] if sample is None else sample, steps=probe_steps, lr=lr, loss=loss)
    return recover(model, batches, steps=steps, lr=lr, measure=measure, at=at, loss=loss, erased=found)
