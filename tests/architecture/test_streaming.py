"""Pieces of a stored tensor against the whole, for every kind of step, dtype and number of axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Monomial, Plan
from mergeguard_hub.architecture.scaling import At, Room, Scaling
from mergeguard_hub.architecture.space import Port, rows
from mergeguard_hub.architecture.steps import Gather, Matmul, closed_ranges, restricted
from mergeguard_hub.architecture.streaming import stored_pieces
from tests.architecture.actions import bits, draw, mix, monomial, space

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
SHAPES = {"one": (24,), "two": (24, 36), "three": (3, 24, 20), "four": (24, 12, 3, 2), "empty": (24, 0)}
EPS = {dtype: torch.finfo(dtype).eps for dtype in DTYPES}


def _whole(plan: Plan, name: str, tensor: Tensor, piece_bytes: int, room: Room | None = None) -> Tensor:
    """All pieces, copied as they come because each is only valid until the next."""
    found = stored_pieces(plan, name, tensor, piece_bytes=piece_bytes, room=room)
    pieces = [piece.clone().reshape(-1) for piece in found]
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


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [1.0, 0.0, -0.0])
def test_factors_added_to_the_bits_are_the_product(dtype: torch.dtype, value: float) -> None:
    weights = draw((24, 36), dtype)
    weights[weights.abs() < 2.0**-6] = 1.0
    weights[3, 5] = value
    assert weights[weights != 0].abs().min() >= 2.0**-6, "six bits of exponent above the smallest float16 number"
    for kind, bound in (("signs", 0), ("powers", 2)):
        plan = Plan({"w": (24, 36)})
        for axis, size in enumerate((24, 36)):
            plan.add(space(Port("w", axis, rows(0, size), scale=1)), monomial(size, axis, bound=bound, exact=True))
        expected = bits(plan.apply("w", weights))
        for room in (Room(), Room(4), Room(4, zeros=value == 0)):
            assert torch.equal(bits(_whole(plan, "w", weights, 200, room)), expected), (kind, room)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_are_only_added_where_a_piece_has_no_zero(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied: list[At] = []
    real = Scaling._multiply

    def noted(self: Scaling, piece: Tensor, at: At, into: Tensor) -> Tensor:
        multiplied.append(at)
        return real(self, piece, at, into)

    monkeypatch.setattr(Scaling, "_multiply", noted)
    weights = torch.ones(6, 8, dtype=dtype)
    weights[4, 2] = 0
    plan = Plan({"w": (6, 8)})
    plan.add(space(Port("w", 1, rows(0, 8), scale=1)), Monomial(np.arange(8), np.ones(8), 2.0 ** np.arange(8)))
    row = 8 * dtype.itemsize
    assert len(list(stored_pieces(plan, "w", weights, piece_bytes=row, room=Room(7)))) == 6
    assert multiplied == [(slice(4, 5),)]
    weights[4, 2] = 1
    assert len(list(stored_pieces(plan, "w", weights, piece_bytes=row, room=Room(7, zeros=False)))) == 6
    assert len(multiplied) == 1, "nobody looks for zeros where there are none"


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
