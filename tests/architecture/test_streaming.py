"""Pieces of a stored tensor against the whole, for every kind of step, dtype and number of axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Monomial, Plan
from mergeguard_hub.architecture.space import Port, rows
from mergeguard_hub.architecture.steps import Gather, Matmul, closed_ranges, restricted
from mergeguard_hub.architecture.streaming import stored_pieces
from tests.architecture.actions import bits, draw, mix, monomial, space

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
SHAPES = {"one": (24,), "two": (24, 36), "three": (3, 24, 20), "four": (24, 12, 3, 2), "empty": (24, 0)}
EPS = {dtype: torch.finfo(dtype).eps for dtype in DTYPES}


def _whole(plan: Plan, name: str, tensor: Tensor, piece_bytes: int) -> Tensor:
    """All pieces, copied as they come because each is only valid until the next."""
    pieces = [piece.clone().reshape(-1) for piece in stored_pieces(plan, name, tensor, piece_bytes=piece_bytes)]
    assert all(piece.dtype == tensor.dtype for piece in pieces)
    return torch.cat(pieces).view(tensor.shape)


def _plans(shape: tuple[int, ...]) -> dict[str, Plan]:
    """Every combination of axes and kinds that fits a shape."""
    found: dict[str, Plan] = {"nothing": Plan({"w": shape})}
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    for kind in ("powers of two", "factors", "mix"):
        for chosen in [*([axis] for axis in axes), axes]:
            plan = Plan({"w": shape})
            for axis in chosen:
                port = Port("w", axis, rows(0, shape[axis]), scale=1)
                action = monomial(shape[axis], axis, bound=1, exact=kind != "factors")
                plan.add(space(port), action)
                if kind == "mix":
                    half = shape[axis] // 2
                    plan.add(space(Port("w", axis, rows(shape[axis] - half, half), scale=1)), mix(half, axis))
                    plan.add(space(port), monomial(shape[axis], axis + 9, bound=0))
            found[f"{kind} on {chosen}"] = plan
    return found


@pytest.mark.parametrize("piece_bytes", [1, 200, 1 << 20])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pieces_are_the_whole(shape: tuple[int, ...], dtype: torch.dtype, piece_bytes: int) -> None:
    weights = draw(shape, dtype)
    for label, plan in _plans(shape).items():
        expected, actual = plan.apply("w", weights), _whole(plan, "w", weights, piece_bytes)
        if "mix" not in label:
            assert torch.equal(bits(actual), bits(expected)), label
        else:  # products of other sizes may sum in another order before the one rounding
            torch.testing.assert_close(actual, expected, rtol=2 * EPS[dtype], atol=8 * EPS[dtype], msg=label)
        assert torch.equal(weights, draw(shape, dtype)), "the source is only read"


def test_pieces_are_about_as_large_as_asked() -> None:
    weights = draw((64, 16, 8), torch.bfloat16)
    plan = Plan({"w": weights.shape})
    plan.add(space(Port("w", 1, rows(0, 16))), monomial(16))
    sizes = {piece.nbytes for piece in stored_pieces(plan, "w", weights, piece_bytes=100)}
    assert sizes == {96, 64}, "six rows of 16 bytes, and the four that are left of sixteen"


def test_negative_zero_and_subnormals_survive_moves() -> None:
    plan = Plan({"w": (4,)})
    plan.add(space(Port("w", 0, rows(0, 4))), Monomial(np.array([3, 2, 1, 0]), np.array([-1.0, 1, 1, 1]), np.ones(4)))
    weights = torch.tensor([1.0, -0.0, 2.0**-149, 0.0])
    stored = _whole(plan, "w", weights, 4)
    assert torch.equal(bits(stored), bits(torch.tensor([-0.0, 2.0**-149, -0.0, 1.0])))


def test_ranges_never_cut_a_head() -> None:
    heads = [np.arange(start, start + 4) for start in range(0, 16, 4)]
    mix = Matmul(heads, [np.eye(4)] * 4)
    swap = Gather(np.concatenate([heads[2], heads[0], heads[3], heads[1]]), np.ones(16))
    assert closed_ranges([mix], 18, 1) == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 17), (17, 18)]
    assert closed_ranges([mix, swap], 16, 5) == [(0, 8), (8, 16)]
    assert restricted([mix, swap], np.arange(0, 4))[0].tolist() == [8, 9, 10, 11]
