"""How far weights may be scaled before a bit is lost, on numbers whose headroom is known by construction."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mergeguard_hub.architecture.space import CLAIMS, Port, Space, rows
from mergeguard_hub.protection.headroom import MOST, STAGES_PER_TENSOR, Magnitudes, block_of, measure, scale_bounds

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
# (smallest normal, largest power of two) as exponents of two, from the formats' definitions
RANGES = {
    torch.bfloat16: (-126, 127),
    torch.float16: (-14, 15),
    torch.float32: (-126, 127),
    torch.float64: (-1022, 1023),
}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_headroom_of_one_power_of_two(dtype: torch.dtype, sign: float) -> None:
    low, high = RANGES[dtype]
    for exponent in (low, low + 3, 0, high - 5, high):
        found = measure(torch.tensor([sign * 2.0**exponent], dtype=torch.float64).to(dtype))
        assert found == Magnitudes(True, min(exponent - low, high - exponent), zeros=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_smallest_and_largest_of_either_sign_count(dtype: torch.dtype) -> None:
    for values in ([0.25, -1.0, 4.0], [-0.25, 1.0, -4.0], [0.25, -4.0], [-0.25, 4.0]):
        low, high = RANGES[dtype]
        assert measure(torch.tensor(values, dtype=dtype)).headroom == min(-2 - low, high - 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zeros_of_either_sign_do_not_count(dtype: torch.dtype) -> None:
    values = torch.tensor([0.0, 0.5, -0.0, -2.0], dtype=dtype)
    assert measure(values) == replace(measure(values[values != 0]), zeros=True)
    for zero in (0.0, -0.0):
        assert measure(torch.tensor([-1.0, zero], dtype=dtype)).zeros, "of one sign alone"
    nothing = measure(torch.zeros(5, dtype=dtype))
    assert nothing.finite
    assert nothing.headroom >= MOST, "zeros take any scale"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("others", [[1.0], [1.0, 0.0], [-1.0, -0.0]])
def test_subnormal_numbers_leave_none(dtype: torch.dtype, others: list[float]) -> None:
    tiny = torch.finfo(dtype).smallest_normal * 0.5
    for value in (tiny, -tiny):
        assert measure(torch.tensor([value, *others], dtype=dtype)) == Magnitudes(True, 0, zeros=0.0 in others)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -math.nan])
@pytest.mark.parametrize("others", [[1.0], [0.0], [-2.0, 3.0]])
def test_what_is_not_finite_shows(dtype: torch.dtype, value: float, others: list[float]) -> None:
    assert measure(torch.tensor([*others, value], dtype=dtype)) == Magnitudes(False, 0, zeros=0.0 in others)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_odd_number_is_found_anywhere_in_a_large_tensor(dtype: torch.dtype) -> None:
    for at in (0, 300_001, 699_999):
        values = torch.ones(700, 1000, dtype=dtype)
        values.view(-1)[at] = 2.0**-3
        assert measure(values).headroom == measure(torch.tensor([1.0, 2.0**-3], dtype=dtype)).headroom
        values.view(-1)[at] = math.nan
        assert not measure(values).finite
        values.view(-1)[at] = 0.0
        assert measure(values).zeros


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scaling_within_the_headroom_comes_back_to_the_bit_and_beyond_it_not(dtype: torch.dtype) -> None:
    low, high = RANGES[dtype]
    odd = 2.0 - torch.finfo(dtype).eps  # every bit of the mantissa set: none can be lost unseen
    for values in ([odd * 2.0 ** (low + 4), 1.0], [odd * 2.0 ** (high - 4), -1.0]):
        weights = torch.tensor([*values, 0.0], dtype=torch.float64).to(dtype)
        headroom = measure(weights).headroom
        assert headroom == 4

        def there_and_back(factor: float, weights: torch.Tensor = weights) -> torch.Tensor:
            return (weights * torch.tensor(factor, dtype=dtype)) * torch.tensor(1.0 / factor, dtype=dtype)

        for factor in (2.0**headroom, 2.0**-headroom):
            assert torch.equal(_bits(there_and_back(factor)), _bits(weights))
        beyond = [_bits(there_and_back(factor)) for factor in (2.0 ** (headroom + 1), 2.0 ** -(headroom + 1))]
        assert not all(torch.equal(found, _bits(weights)) for found in beyond)


def _space(name: str, *tensors: str, scale: int = 1) -> Space:
    ports = tuple(Port(tensor, 0, rows(0, 2), scale=scale) for tensor in tensors)
    return Space(name, "query_key", 2, ports, frozenset(CLAIMS))


def test_bounds_share_the_least_headroom_of_a_block_between_stages() -> None:
    spaces = [_space("layers.0.attn/keys.0", "a", "b"), _space("layers.0.attn/keys.1", "c")]
    spaces += [_space("layers.1.attn/keys.0", "c"), _space("layers.2.attn/keys.0", "a", scale=0)]
    headroom = {"a": 3 * STAGES_PER_TENSOR + 1, "b": 100, "c": 2 * STAGES_PER_TENSOR}
    assert scale_bounds(spaces, headroom) == {"layers.0.attn/keys.*": 2, "layers.1.attn/keys.*": 2}


def test_spaces_that_cannot_be_scaled_need_no_bound() -> None:
    space = Space("x/heads.0", "query_heads", 2, (Port("a", 0, rows(0, 2), scale=1),), frozenset({"permute"}))
    assert scale_bounds([space], {"a": 0}) == {}
    assert block_of(space) == "x/heads.*"


def test_reading_does_not_change_the_weights() -> None:
    weights = torch.from_numpy(np.array([0.0, -1.5, 3.0], dtype=np.float32))
    measure(weights)
    assert weights.tolist() == [0.0, -1.5, 3.0]
