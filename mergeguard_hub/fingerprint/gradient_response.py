"""What TensorGuard measures of a matrix: statistics of a gradient that is never formed."""

from __future__ import annotations

import torch
from torch import Tensor

STATISTICS = ("mean", "std", "norm", "skewness", "kurtosis")


def response(x: Tensor, y: Tensor) -> tuple[float, float, float, float, float]:
    """Return mean, standard deviation, norm, skewness and excess kurtosis of d||x W^T|| / dW, in float64.

    The gradient is (y / ||y||) x^T, of rank one, so every raw moment of its entries is a product of two: one pass over
    W, for y, is all that it takes. It also shows what the statistics can know: the norm is ||x||, whatever W is, and
    the others see W only through the direction of y.

    Args:
        x: the input, [in].
        y: x W^T, [out].

    Returns:
        In the order of `STATISTICS`; all 0 if y is.
    """
    x, y = x.double(), y.double()
    size = float(y.norm())
    if size == 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    u = y / size
    first, second, third, fourth = (float(u.pow(k).mean() * x.pow(k).mean()) for k in (1, 2, 3, 4))
    variance = second - first**2
    norm = float(u.norm() * x.norm())
    if variance <= torch.finfo(torch.float64).eps * second:
        return first, 0.0, norm, 0.0, 0.0
    skew = third - 3 * first * second + 2 * first**3
    tails = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    return first, variance**0.5, norm, skew / variance**1.5, tails / variance**2 - 3
