"""The settings that merge methods share, and what is refused among them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mergeguard_hub.errors import MergeError

Weights = tuple[float, ...]


def check_scale(scale: float) -> None:
    """Refuse a factor on the task vector that is no number.

    Raises:
        MergeError: it is NaN or infinite.
    """
    if not math.isfinite(scale):
        raise MergeError(f"scale is {scale}, and must be a finite number.")


def check_density(density: float) -> None:
    """Refuse a fraction of weights to keep that keeps none, or more than all.

    Raises:
        MergeError: it is outside (0, 1].
    """
    if not 0 < density <= 1:
        raise MergeError(f"density is {density}, and must be above 0 and at most 1.")


def check_finite_weights(weights: Weights | None) -> None:
    """Refuse coefficients that are no numbers; negative ones are allowed, they subtract a skill.

    Raises:
        MergeError: there are none, or one is NaN or infinite.
    """
    if weights is not None and not (weights and all(map(math.isfinite, weights))):
        raise MergeError(f"weights are {weights}, and must be finite numbers, one for each model.")


def check_shares(weights: Weights | None) -> None:
    """Refuse coefficients that are no shares of a whole.

    Raises:
        MergeError: one is negative, NaN or infinite, or all are 0.
    """
    values = (1.0,) if weights is None else weights
    if min(values, default=0.0) < 0 or not 0 < sum(values) < math.inf:
        raise MergeError(f"weights are {weights}, and must be at least 0, with one above 0.")


def weights_for(weights: Weights | None, count: int, *, normalize: bool) -> Weights:
    """Return the coefficient of each model.

    Args:
        weights: as the method was given them; None: 1 each.
        count: number of models.
        normalize: whether to divide by their sum.

    Raises:
        MergeError: there is another number of weights than of models, or their sum is 0 and is divided by.
    """
    values = (1.0,) * count if weights is None else weights
    check_count(values, count, what="weights")
    if not normalize:
        return values
    total = sum(values)
    if total == 0:
        raise MergeError(f"weights are {weights} and add up to 0, so they have no average; change one of them.")
    return tuple(value / total for value in values)


def check_count(values: Sequence[float], count: int, *, what: str) -> None:
    """Refuse a list that has not one number for each model.

    Raises:
        MergeError: there are more or fewer.
    """
    if len(values) != count:
        raise MergeError(f"There are {len(values)} {what} for {count} models; give one for each.")
