"""The k-th largest magnitude among more numbers than fit in memory: exact, by counting digits of their bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

_DIGIT_BITS = 16
_DIGITS = 1 << _DIGIT_BITS
Streams = Iterable[Sequence[Tensor]]


def kth_largest_magnitudes(streams: Callable[[], Streams], *, count: int, k: int, wide: bool) -> list[float]:
    """Return the k-th largest absolute value of each of several vectors that arrive in pieces.

    The bits of a float without its sign, read as a whole number, sort as the float does. So each pass counts the next
    16 bits among the numbers whose higher bits are known already: two passes for float32, four for float64, and never
    more than a table of 65,536 counts for each vector.

    Args:
        streams: returns a new walk over the vectors: one piece [n] of each vector at a time, finite numbers.
        count: how many vectors.
        k: 1 for the largest, up to the length of the vectors.
        wide: whether pieces are compared in float64; else in float32.

    >>> kth_largest_magnitudes(lambda: [[torch.tensor([1.0, -4.0])], [torch.tensor([3.0])]], count=1, k=2, wide=False)
    [3.0]
    """
    rest = [k] * count
    found = [0] * count
    top = 64 if wide else 32
    for shift in range(top - _DIGIT_BITS, -1, -_DIGIT_BITS):
        tables = [torch.zeros(_DIGITS, dtype=torch.int64) for _ in range(count)]
        for vectors in streams():
            for table, vector, prefix in zip(tables, vectors, found, strict=True):
                table += _count_digits(_bits(vector, wide), prefix, shift, first=shift + _DIGIT_BITS == top)
        for position, table in enumerate(tables):
            above = table.flip(0).cumsum(0)  # how many numbers have this digit or a larger one
            largest = int(torch.searchsorted(above, rest[position]))
            rest[position] -= int(above[largest - 1]) if largest else 0
            found[position] = found[position] << _DIGIT_BITS | _DIGITS - 1 - largest
    return [_number(bits, wide) for bits in found]


def _bits(vector: Tensor, wide: bool) -> Tensor:
    if wide:
        return vector.to(torch.float64).abs().view(torch.int64)
    return vector.to(torch.float32).abs().view(torch.int32)


def _count_digits(bits: Tensor, prefix: int, shift: int, *, first: bool) -> Tensor:
    if not first:
        bits = bits[(bits >> (shift + _DIGIT_BITS)) == prefix]
    return torch.bincount((bits >> shift) & (_DIGITS - 1), minlength=_DIGITS)


def _number(bits: int, wide: bool) -> float:
    if wide:
        return float(torch.tensor(bits, dtype=torch.int64).view(torch.float64))
    return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32))
