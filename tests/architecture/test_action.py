"""Plans against the same actions written out as dense matrices in numpy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from mergeguard_hub.architecture.action import Mix, Monomial, Plan
from mergeguard_hub.architecture.space import Port, rows
from mergeguard_hub.architecture.steps import Gather, Matmul, restricted
from tests.architecture.actions import bits, draw, mix, monomial, space

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def _dense(action: Monomial | Mix, port: Port, length: int) -> np.ndarray:
    """The matrix that an action is along a port's axis, from its definition alone."""
    if isinstance(action, Monomial):
        own = np.zeros((len(action.permutation),) * 2)
        for unit, of in enumerate(action.permutation):
            sign = action.signs[unit] if port.sign else 1.0
            own[unit, of] = sign * action.scales[unit] ** port.scale
    else:
        own = action.matrix if port.scale > 0 else np.linalg.inv(action.matrix).T
    full = np.eye(length)
    for copy in range(port.positions.shape[1]):
        at = port.positions[:, copy]
        full[np.ix_(at, at)] = own
    return full


def _along(matrix: np.ndarray, tensor: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.tensordot(matrix, tensor, (1, axis)), 0, axis)


PORTS = {
    "scaled rows": Port("w", 0, rows(0, 24), scale=1),
    "inverse rows": Port("w", 0, rows(0, 24), scale=-1),
    "moved rows": Port("w", 0, rows(0, 24), sign=False),
    "some rows": Port("w", 0, rows(5, 8), scale=1),
    "columns": Port("w", 1, rows(0, 36), scale=1),
    "two copies": Port("w", 1, np.arange(36, dtype=np.int64).reshape(2, 18).T.copy(), scale=-1),
    "scattered": Port("w", 1, np.array([[3, 30], [7, 2], [20, 11]], dtype=np.int64), scale=1),
}


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS)
@pytest.mark.parametrize("kind", ["powers of two", "factors", "mix"])
def test_one_action_is_its_dense_matrix(port: Port, kind: str) -> None:
    size, length = len(port.positions), (24, 36)[port.axis]
    action = mix(size) if kind == "mix" else monomial(size, exact=kind == "powers of two")
    plan = Plan({"w": (24, 36)})
    if kind == "mix" and port.scale == 0:
        with pytest.raises(ValueError, match="w axis 0 only moves; a mix cannot act on it"):
            plan.add(space(port), action)
        return
    plan.add(space(port), action)
    weights = draw((24, 36))
    expected = _along(_dense(action, port, length), weights.numpy(), port.axis)
    np.testing.assert_allclose(plan.apply("w", weights).numpy(), expected, rtol=1e-12, atol=1e-12)


def _chain() -> tuple[Plan, list[tuple[Port, Monomial | Mix]]]:
    """Moves, a mix of two heads, moves again and a mix across them: nothing of it commutes."""
    acts: list[tuple[Port, Monomial | Mix]] = [
        (Port("w", 0, rows(0, 24), scale=1), monomial(24, 1)),
        (Port("w", 0, rows(0, 12), scale=1), mix(12, 2)),
        (Port("w", 0, rows(12, 12), scale=-1), mix(12, 3)),
        (Port("w", 1, rows(0, 36), scale=-1), monomial(36, 4)),
        (Port("w", 0, rows(6, 12), scale=1), monomial(12, 5, exact=False)),
        (Port("w", 0, rows(0, 6), scale=1), mix(6, 6)),
        (Port("w", 1, np.arange(36, dtype=np.int64).reshape(4, 9).T.copy(), scale=-1), mix(9, 8)),
    ]
    plan = Plan({"w": (24, 36)})
    for port, action in acts:
        plan.add(space(port), action)
    return plan, acts


def test_actions_compose_in_the_order_they_were_added() -> None:
    plan, acts = _chain()
    weights = draw((24, 36))
    expected = weights.numpy()
    for port, action in acts:
        expected = _along(_dense(action, port, expected.shape[port.axis]), expected, port.axis)
    np.testing.assert_allclose(plan.apply("w", weights).numpy(), expected, rtol=1e-11, atol=1e-11)
    assert [type(step) for step in plan.steps["w"][0]] == [Gather, Matmul, Gather, Matmul]


def test_inverse_undoes_a_chain_up_to_rounding() -> None:
    plan, _ = _chain()
    weights = draw((24, 36))
    np.testing.assert_allclose(plan.inverse().apply("w", plan.apply("w", weights)), weights, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_inverse_of_powers_of_two_restores_every_bit(dtype: torch.dtype) -> None:
    plan = Plan({"w": (24, 36)})
    plan.add(space(Port("w", 0, rows(0, 24), scale=1)), monomial(24, 1, bound=2))
    plan.add(space(Port("w", 1, rows(4, 30), scale=-1)), monomial(30, 2, bound=2))
    weights = draw((24, 36), dtype).clamp(-4, 4)
    weights[weights.abs() < 0.05] = 0.0  # keeps float16 away from subnormal numbers
    stored = plan.apply("w", weights)
    assert not plan.rounds("w")
    assert not torch.equal(stored, weights)
    assert torch.equal(bits(plan.inverse().apply("w", stored)), bits(weights))


def test_experts_change_places_with_what_was_done_inside_them() -> None:
    names = ("a", "b", "c")
    shapes = dict.fromkeys(names, (4, 5)) | {"router": (3, 5)}
    weights = {name: draw(shape) + i for i, (name, shape) in enumerate(shapes.items())}
    inside = {name: monomial(4, i) for i, name in enumerate(names)}
    cycle = Monomial(np.array([1, 2, 0]), np.ones(3), np.ones(3))
    exchange = space(Port("router", 0, rows(0, 3)), families=(names,))
    plan = Plan(shapes)
    for name in names:
        plan.add(space(Port(name, 0, rows(0, 4), scale=1)), inside[name])
    plan.add(exchange, cycle)
    plan.add(space(Port("a", 1, rows(0, 5))), monomial(5, 9, bound=0))  # acts on what is called a now
    port = Port("b", 0, rows(0, 4), scale=1)
    expected = _along(_dense(inside["b"], port, 4), weights["b"].numpy(), 0)
    expected = _along(_dense(monomial(5, 9, bound=0), Port("a", 1, rows(0, 5)), 5), expected, 1)
    assert plan.source == {"a": "b", "b": "c", "c": "a"}
    np.testing.assert_array_equal(plan.apply("a", weights["b"]).numpy(), expected)
    assert torch.equal(plan.apply("router", weights["router"]), weights["router"][[1, 2, 0]])
    undo = plan.inverse()
    released = {name: plan.apply(name, weights[plan.source.get(name, name)]) for name in shapes}
    restored = {name: undo.apply(name, released[undo.source.get(name, name)]) for name in shapes}
    assert all(torch.equal(restored[name], weights[name]) for name in shapes)


def test_whole_tensors_cannot_be_mixed() -> None:
    plan = Plan({"a": (2,), "b": (2,)})
    with pytest.raises(ValueError, match="place/units: whole tensors can be permuted, not mixed"):
        plan.add(space(size=2, families=(("a", "b"),)), mix(2))


def test_part_of_a_plan_is_enough_in_another_process() -> None:
    plan, _ = _chain()
    plan.shapes["other"] = (3,)
    plan.add(space(Port("other", 0, rows(0, 3))), monomial(3))
    part = pickle.loads(pickle.dumps(plan.part("w")))
    assert set(part.steps) == {"w"}
    assert torch.equal(part.apply("w", draw((24, 36))), plan.apply("w", draw((24, 36))))


@pytest.mark.parametrize("wanted", [[0], [5, 3], [17, 16, 15], list(range(24))])
def test_restricted_steps_give_the_same_rows(wanted: list[int]) -> None:
    plan, _ = _chain()
    weights = draw((24, 36))
    expected = weights
    for step in plan.steps["w"][0]:
        expected = step.apply(expected, 0)
    needed, steps = restricted(plan.steps["w"][0], np.array(wanted))
    actual = weights[torch.from_numpy(needed)]
    for step in steps:
        actual = step.apply(actual, 0)
    torch.testing.assert_close(actual, expected[wanted], rtol=1e-12, atol=1e-12)
