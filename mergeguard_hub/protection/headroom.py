"""How far weights may be scaled by powers of two before a bit is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergeguard_hub.architecture.names import template_of
from mergeguard_hub.architecture.space import Space

STAGES_PER_TENSOR = 3  # at most so many stages scale one tensor: units or heads, norm absorption, one more by hand
MOST = 16  # stages take no larger exponent
_PIECE_BYTES = 1 << 20  # read at a time: still in the cache after the first reduction, and worth its calls, our choice

# dtype -> (integer view, bits of the mantissa, largest exponent field of a finite number)
_FORMATS: dict[torch.dtype, tuple[type[np.unsignedinteger], int, int]] = {
    torch.bfloat16: (np.uint16, 7, 254),
    torch.float16: (np.uint16, 10, 30),
    torch.float32: (np.uint32, 23, 254),
    torch.float64: (np.uint64, 52, 2046),
}


@dataclass(frozen=True)
class Magnitudes:
    """What one pass over a tensor tells.

    Attributes:
        finite: whether no element is NaN or infinite.
        headroom: largest k such that multiplying by 2^k and by 2^-k both keep every bit; 0 if there are subnormals.
        zeros: whether any element is zero.
    """

    finite: bool
    headroom: int
    zeros: bool


def measure(tensor: Tensor) -> Magnitudes:
    """Read a floating-point tensor once, in O(1 MB) of memory.

    The bits of a floating-point number without its sign are ordered as its magnitude is, so both extremes are those of
    integers: signed for positive numbers, unsigned for negative ones.

    Args:
        tensor: any shape; float64, float32, float16 or bfloat16.
    """
    unsigned, mantissa, highest = _FORMATS[tensor.dtype]
    integers = tensor.reshape(-1).view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])
    bits = integers.numpy()
    sign = 1 << (8 * bits.itemsize - 1)
    smallest, largest, zeros = sign, 0, False
    for start in range(0, bits.size, _PIECE_BYTES // bits.itemsize):
        low, high, zero = _extremes(bits[start : start + _PIECE_BYTES // bits.itemsize], unsigned, sign)
        smallest, largest, zeros = min(smallest, low), max(largest, high), zeros or zero
    if largest >> mantissa > highest:
        return Magnitudes(False, 0, zeros)
    return Magnitudes(True, max(0, min((smallest >> mantissa) - 1, highest - (largest >> mantissa))), zeros)


def _extremes(bits: NDArray[np.signedinteger], unsigned: type[np.unsignedinteger], sign: int) -> tuple[int, int, bool]:
    """Return the smallest magnitude that is not zero (or `sign`), the largest, and whether there is a zero, as bits."""
    same = bits.view(unsigned)
    top, bottom, last, first = int(bits.max()), int(bits.min()), int(same.max()), int(same.min())
    low = min(first if top >= 0 else sign, bottom + sign if bottom < 0 else sign)
    high = max(top, last - sign)
    zero = low == 0
    if zero:
        magnitude = same & unsigned(sign - 1)
        magnitude -= unsigned(1)  # zero wraps to the largest value and so does not count as the smallest
        low = min(sign, int(magnitude.min()) + 1)
    return low, high, zero


def scale_bounds(spaces: Iterable[Space], headroom: Mapping[str, int]) -> dict[str, int]:
    """Return the largest exponent per block for every block that has less than stages may ask for.

    The bound is a tensor's headroom shared between the stages that may scale it. In float16, trained weights reach into
    subnormal numbers, so the bound is 0 there and only moves and signs are left.

    Args:
        spaces: proved spaces.
        headroom: tensor name -> headroom.
    """
    bounds: dict[str, int] = {}
    for space in spaces:
        if "scale" not in space.claims:
            continue
        least = min((headroom[port.tensor] for port in space.ports if port.scale), default=MOST * STAGES_PER_TENSOR)
        bound = least // STAGES_PER_TENSOR
        if bound < MOST:
            block = block_of(space)
            bounds[block] = min(bound, bounds.get(block, MOST))
    return bounds


def block_of(space: Space) -> str:
    """Return the name under which a space's bound is kept: its block, with heads starred.

    >>> from mergeguard_hub.architecture.space import Space
    >>> block_of(Space("layers.3.attn/keys.1", "query_key", 4, (), frozenset()))
    'layers.3.attn/keys.*'
    """
    prefix, _, units = space.name.partition("/")
    return f"{prefix}/{template_of(units)}"
