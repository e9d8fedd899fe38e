"""NaN and infinity are found wherever they are, and nothing else is."""

from __future__ import annotations

import math

import pytest
import torch

from mergeguard_hub.checkpoint import has_nonfinite
from tests.checkpoint.folders import FLOAT8, FLOATS, INTEGERS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_position(dtype: torch.dtype, value: float) -> None:
    for size in (1, 2, 7, 33, 257):
        finite = torch.randn(size).to(dtype)
        assert not has_nonfinite(finite)
        for position in range(size):
            tensor = finite.clone()
            tensor[position] = value
            assert has_nonfinite(tensor), (size, position)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_and_smallest_finite_numbers(dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    values = [limits.max, limits.min, limits.smallest_normal, -limits.smallest_normal, 0.0, -0.0]
    subnormal = limits.smallest_normal * limits.eps
    assert not has_nonfinite(torch.tensor([*values, subnormal], dtype=dtype).repeat(40))


@pytest.mark.parametrize(("dtype", "exponent"), [(torch.bfloat16, 0x7F80), (torch.float16, 0x7C00)])
def test_every_pattern_of_sixteen_bits(dtype: torch.dtype, exponent: int) -> None:
    """All bits of the exponent set: infinity or NaN, quiet or signalling, of either sign."""
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32)
    full = (bits & exponent) == exponent
    patterns = bits.to(torch.int16).view(dtype)
    assert not has_nonfinite(patterns[~full])
    assert all(has_nonfinite(patterns[number : number + 1]) for number in torch.nonzero(full).flatten().tolist())


@pytest.mark.parametrize("dtype", FLOAT8)
def test_float8(dtype: torch.dtype) -> None:
    patterns = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype)
    finite = torch.isfinite(patterns.to(torch.float32))
    assert not has_nonfinite(patterns.view(torch.uint8)[finite].view(dtype))
    assert has_nonfinite(patterns)
    large = torch.ones(300_000).to(dtype)
    large.view(torch.uint8)[-1] = patterns.view(torch.uint8)[~finite][0]
    assert has_nonfinite(large)


@pytest.mark.parametrize("dtype", [*INTEGERS, torch.bool])
def test_other_types_never_are(dtype: torch.dtype) -> None:
    assert not has_nonfinite(torch.ones(3).to(dtype))


def test_shapes_and_layouts() -> None:
    tensor = torch.zeros(4, 6, 2)
    views = [tensor, tensor.transpose(0, 2), tensor[:, ::2], tensor[1:, 1:], tensor.expand(3, 4, 6, 2), tensor[:0]]
    assert not any(has_nonfinite(view) for view in views)
    tensor[2, 2, 1] = math.nan
    assert [has_nonfinite(view) for view in views] == [True, True, True, True, True, False]
    assert has_nonfinite(torch.tensor(math.inf))
    assert has_nonfinite(torch.tensor([1.0, complex(0, math.nan)]))
    assert not has_nonfinite(torch.tensor([1.0, 1j]))
    assert has_nonfinite(torch.tensor([math.inf], requires_grad=True))
