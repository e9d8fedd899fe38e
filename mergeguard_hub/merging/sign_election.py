"""Electing a sign for each weight and averaging what agrees with it: the second and third step of TIES."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mergeguard_hub.merging.task_vector import weighted_sum


def elected_mean(vectors: Sequence[Tensor], weights: Sequence[float], majority: float) -> Tensor:
    """Return the weighted mean of the entries that have the elected sign, 0 where there is none.

    Args:
        vectors: a (trimmed) task vector of each model, [*S]; zeros have no vote and are not averaged.
        weights: coefficient of each model, at least 0.
        majority: the sign (-1, 0 or 1) where the weighted sum of the entries is exactly 0.

    >>> elected_mean([torch.tensor([4.0, 1.0]), torch.tensor([2.0, -3.0])], [1.0, 1.0], 0.0)
    tensor([ 3., -3.])
    """
    sign = weighted_sum(vectors, weights).sign_()
    sign[sign == 0] = majority
    total, share = torch.zeros_like(vectors[0]), torch.zeros_like(vectors[0])
    for vector, weight in zip(vectors, weights, strict=True):
        agrees = (vector.sign() == sign) & (vector != 0)
        total += weight * vector * agrees
        share += weight * agrees
    return torch.where(share > 0, total / torch.where(share > 0, share, 1), 0)


def majority_sign(walk: Iterable[Sequence[Tensor]], weights: Sequence[float]) -> float:
    """Return the sign that is elected more often in the whole model: -1, 1, or 0 if both are as often.

    Args:
        walk: one piece of each model's (trimmed) task vector at a time.
        weights: coefficient of each model.
    """
    votes = 0.0
    for vectors in walk:
        votes += float(weighted_sum(vectors, weights).sign_().sum(dtype=torch.float64))
    return float(votes > 0) - float(votes < 0)
