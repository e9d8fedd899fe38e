"""Whole experts change places, before, between and after stages that act inside them."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Port, Space, rows
from mergeguard_hub.protection import (
    ExpertPermutation,
    Facts,
    Key,
    Recipe,
    ResidualShuffle,
    Stage,
    UnitRearrangement,
    UnitScaling,
)
from mergeguard_hub.protection.actions import Drawn, compose_plan, draw_actions

KEY = Key(bytes(range(32)))
EXPERTS, SIZE = 7, 12


def _mixture() -> tuple[list[Space], dict[str, tuple[int, ...]]]:
    shapes: dict[str, tuple[int, ...]] = {"router": (EXPERTS, 5)}
    spaces = []
    for expert in range(EXPERTS):
        shapes |= {f"{expert}.up": (SIZE, 5), f"{expert}.down": (5, SIZE)}
        ports = (Port(f"{expert}.up", 0, rows(0, SIZE), scale=1), Port(f"{expert}.down", 1, rows(0, SIZE), scale=-1))
        claims: frozenset[Claim] = frozenset({"permute", "sign", "scale"})
        spaces.append(Space(f"{expert}/units", "hidden_units", SIZE, ports, claims))
    families = (tuple(f"{e}.up" for e in range(EXPERTS)), tuple(f"{e}.down" for e in range(EXPERTS)))
    router = (Port("router", 0, rows(0, EXPERTS)),)
    spaces.append(Space("experts", "experts", EXPERTS, router, frozenset({"permute"}), families=families))
    into = [Port(f"{e}.up", 1, rows(0, 5)) for e in range(EXPERTS)] + [Port("router", 1, rows(0, 5))]
    out = [Port(f"{e}.down", 0, rows(0, 5)) for e in range(EXPERTS)]
    spaces.append(Space("residual", "residual", 5, tuple(into + out), frozenset({"permute", "sign"})))
    return spaces, shapes


@pytest.mark.parametrize(
    "stages",
    list(permutations([UnitRearrangement(), UnitScaling(), ExpertPermutation(), ResidualShuffle()])),
    ids=lambda stages: "-".join(type(stage).__name__[:6] for stage in stages),
)
def test_experts_move_before_between_and_after_other_stages(stages: tuple[Stage, ...]) -> None:
    """The mixture computes the same in the new basis, and the inverse plan restores every bit."""
    spaces, shapes = _mixture()
    drawn: list[Drawn] = list(
        draw_actions(spaces, recipe=Recipe(stages), key=KEY, component="", facts=Facts(dict.fromkeys(shapes, "F64")))
    )
    plan = compose_plan(dict(shapes), drawn)
    tensors = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    released = {name: plan.apply(name, tensors[plan.source.get(name, name)]) for name in tensors}
    undo = plan.inverse()
    restored = {name: undo.apply(name, released[undo.source.get(name, name)]) for name in tensors}
    assert any(name != source for name, source in plan.source.items())
    assert all(torch.equal(restored[name], tensor) for name, tensor in tensors.items())
    (residual,) = [one.action for one in drawn if one.space.kind == "residual"]
    assert isinstance(residual, Monomial)
    order, signs = torch.from_numpy(residual.permutation), torch.from_numpy(residual.signs)
    x = torch.randn(5, dtype=torch.float64)
    assert torch.allclose(_mixed(released, x[order] * signs), _mixed(tensors, x)[order] * signs)


def _mixed(tensors: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What a mixture of linear experts answers."""
    weights = torch.softmax(tensors["router"] @ x, 0)
    answers = [tensors[f"{e}.down"] @ (tensors[f"{e}.up"] @ x) for e in range(EXPERTS)]
    return torch.stack([w * answer for w, answer in zip(weights, answers, strict=True)]).sum(0)
