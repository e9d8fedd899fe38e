"""The five perturbed inputs that TensorGuard shows to a matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

KINDS = ("adversarial", "structured", "gaussian", "low_frequency", "high_frequency")
Rows = Callable[[], Iterator[Tensor]]
"""Gives a matrix [out, in] in blocks of rows, each in float32, as often as it is called."""

_STRENGTH = 0.1  # of every noise but the structured one
_STEP = 0.03  # of the adversarial input, per entry


def perturbed(kind: str, width: int, rows: Rows, *, seed: int) -> Tensor:
    """Return one perturbed input [width], float32, drawn anew from the seed each time.

    Args:
        kind: one of `KINDS`.
        width: how many inputs the matrix has.
        rows: the first matrix of the model with as many inputs; only the adversarial input looks at it.
        seed: of the input, of the noise and of the adversary's target.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, width, generator=generator)[0]
    if kind == "adversarial":
        return x.add(_uphill(x, rows, generator).sign(), alpha=_STEP)
    if kind == "gaussian":
        return x + _STRENGTH * torch.randn(1, width, generator=generator)[0]
    bins = width // 2 + 1
    if kind == "structured":
        return x + _band(x, 0, bins // 4)
    start, stop = (0, bins // 8) if kind == "low_frequency" else (bins // 2, bins)
    return x + _STRENGTH * _band(x, start, stop)


def _band(x: Tensor, start: int, stop: int) -> Tensor:
    """Return the part of a signal that lies in frequency bins start to stop."""
    frequencies: Tensor = torch.fft.rfft(x)
    kept = torch.zeros_like(frequencies)
    kept[start:stop] = frequencies[start:stop]
    signal: Tensor = torch.fft.irfft(kept, n=len(x))
    return signal


def _uphill(x: Tensor, rows: Rows, generator: torch.Generator) -> Tensor:
    """Return the gradient, with respect to x, of the cross-entropy of x W^T with a class that is drawn."""
    scores = torch.cat([block @ x for block in rows()])
    target = int(torch.randint(0, len(scores), (1,), generator=generator))
    error = torch.softmax(scores, 0)
    error[target] -= 1
    gradient, done = torch.zeros_like(x), 0
    for block in rows():
        gradient += error[done : done + len(block)] @ block
        done += len(block)
    return gradient
