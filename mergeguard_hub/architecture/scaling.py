"""Factors on pieces of a tensor: as integers on the bits where nothing can round, else as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergeguard_hub.architecture.action import working_dtype
from mergeguard_hub.architecture.steps import Floats, is_power_of_two

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_MANTISSA_BITS = {torch.bfloat16: 7, torch.float16: 10, torch.float32: 23, torch.float64: 52}
At = tuple[int | slice, ...]  # where a piece lies on the leading axes


@dataclass(frozen=True)
class Room:
    """What is known of a tensor's numbers before it is scaled; it makes scaling faster and changes no byte.

    Attributes:
        exponent: largest k by which no element but zero loses a bit when multiplied by 2^k or 2^-k; 0 if not known.
        zeros: whether any element may be zero.
    """

    exponent: int = 0
    zeros: bool = True


class Scaling:
    """The factors of one tensor, ready for any piece of it. Not safe to share between threads."""

    def __init__(
        self, factors: Mapping[int, Floats], dtype: torch.dtype, ndim: int, largest: tuple[int, ...], room: Room
    ) -> None:
        """Choose how to multiply.

        Args:
            factors: axis -> [n]; {} to leave every piece as it is.
            dtype: of the tensor.
            ndim: number of its axes.
            largest: shape of the largest piece.
            room: what is known of the numbers.
        """
        exact = all(map(is_power_of_two, factors.values()))
        work = dtype if exact else working_dtype(dtype)
        self._dtype, self._ndim = dtype, ndim
        self._factors = {axis: torch.from_numpy(factor).to(work) for axis, factor in factors.items()}
        self._wide = None if exact else torch.empty(largest, dtype=work)
        self._reach = sum(int(np.abs(_exponents(factor)).max()) for factor in factors.values()) if exact else 0
        self._bits: dict[int, Tensor] | None = None
        self._zeros = room.zeros and self._reach > 0  # signs are added to zeros too
        if exact and self._reach <= room.exponent:
            self._bits = {axis: added_bits(factor, dtype) for axis, factor in factors.items()}

    def apply(self, piece: NDArray[Any], at: At, into: NDArray[Any]) -> Tensor:
        """Return the piece times its factors, rounded once.

        Args:
            piece: [rows, ...], the tensor's bits as integers, not changed.
            at: where it lies on the tensor's leading axes, the last of them its rows.
            into: buffer of the same shape, which the result may be in; may be `piece` itself.
        """
        bits, result = torch.from_numpy(piece), torch.from_numpy(into)
        if self._bits is not None and not (self._zeros and _any_zero(piece)):
            for axis, added in self._bits.items():
                bits = torch.add(bits, self._part(added, axis, at), out=result)
            return bits.view(self._dtype)
        return self._multiply(bits.view(self._dtype), at, result.view(self._dtype))

    def _multiply(self, piece: Tensor, at: At, into: Tensor) -> Tensor:
        parts = [self._part(factor, axis, at) for axis, factor in self._factors.items()]
        if self._wide is None:
            for part in parts:
                piece = torch.mul(piece, part, out=into)
            return piece
        result = self._wide[: len(piece)].copy_(piece)
        for part in parts:
            result.mul_(part)
        return into.copy_(result)

    def _part(self, factor: Tensor, axis: int, at: At) -> Tensor:
        """Return the factors of one piece in a shape that acts on it."""
        if axis < len(at):
            factor = factor[at[axis]]
        return factor.view(-1, *[1] * (self._ndim - 1 - axis)) if factor.ndim else factor


def added_bits(factor: Floats, dtype: torch.dtype) -> Tensor:
    """Return what multiplying by signs and powers of two adds to the bits of normal numbers, as integers.

    The exponent is a field of its own above the mantissa, so 2^k adds k to it; a change of sign adds one to the
    topmost bit, whose carry is lost. To zeros and subnormal numbers only signs may be added.

    Args:
        factor: [n], plus or minus powers of two.
        dtype: of the numbers.
    """
    width = 8 * dtype.itemsize
    added = (_exponents(factor) << _MANTISSA_BITS[dtype]).view(np.uint64)
    added += (factor < 0).astype(np.uint64) << np.uint64(width - 1)
    return torch.from_numpy(added.astype(f"uint{width}").view(f"int{width}"))


def _exponents(factor: Floats) -> NDArray[np.int64]:
    """Return k of plus or minus 2^k."""
    return np.frexp(np.abs(factor))[1].astype(np.int64) - 1


def _any_zero(bits: NDArray[Any]) -> bool:
    """Return whether any number is zero: minus zero has the least bits of all, plus zero if they are read unsigned."""
    return bool(bits.min() == np.iinfo(bits.dtype).min or bits.view(f"uint{8 * bits.itemsize}").min() == 0)
