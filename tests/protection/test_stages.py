"""Stages draw what their space allows and no more, the same for the same stream, and what they do can be undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mergeguard_hub.architecture.action import Mix, Monomial, Plan
from mergeguard_hub.architecture.space import Claim, Space
from mergeguard_hub.protection import (
    STAGES,
    Facts,
    HeadMix,
    HeadScaling,
    Key,
    Recipe,
    Stage,
    UnitRearrangement,
    UnitScaling,
)
from mergeguard_hub.protection.actions import compose_plan, draw_actions, mark_actions
from tests.protection.spaces import HALVES, SHAPES, SIZE, keys, of_kind, units

KEY = Key(bytes(range(32)))
DTYPES = dict.fromkeys(SHAPES, "F32")
FACTS = Facts(DTYPES)
EXACT = [stage for stage in (kind() for kind in STAGES.values()) if stage.exact]


def _drawn(stage: Stage, space: Space, facts: Facts = FACTS) -> Any:
    return stage.draw(space, KEY.stream("here"), facts)


def _plan(stages: list[Stage], spaces: list[Space], shapes: dict[str, tuple[int, ...]], facts: Facts = FACTS) -> Plan:
    return compose_plan(dict(shapes), draw_actions(spaces, recipe=Recipe(stages), key=KEY, component="", facts=facts))


def _random(dtype: torch.dtype, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.randn(shape, dtype=torch.float64).to(dtype) for name, shape in shapes.items()}


def _applied(plan: Plan, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: plan.apply(name, tensors[plan.source.get(name, name)]) for name in tensors}


@pytest.mark.parametrize("stage", EXACT, ids=lambda stage: type(stage).__name__)
def test_exact_stages_draw_permutations_signs_and_powers_of_two(stage: Stage) -> None:
    for kind in sorted(stage.kinds):
        action = _drawn(stage, of_kind(kind))
        assert isinstance(action, Monomial)
        assert sorted(action.permutation.tolist()) == list(range(SIZE))
        assert set(action.signs.tolist()) <= {-1.0, 1.0}
        exponents = np.log2(action.scales)
        assert np.array_equal(exponents, np.rint(exponents))
        assert np.abs(exponents).max() <= getattr(stage, "max_exponent", 0)
        assert not (
            np.array_equal(action.permutation, np.arange(SIZE))
            and (action.signs == 1).all()
            and (action.scales == 1).all()
        )


@pytest.mark.parametrize("claim", ["permute", "sign", "scale"])
@pytest.mark.parametrize("stage", EXACT, ids=lambda stage: type(stage).__name__)
def test_a_stage_keeps_to_what_was_proved(stage: Stage, claim: Claim) -> None:
    """And it draws the same numbers for what is left as it would for everything."""
    for kind in sorted(stage.kinds):
        space = of_kind(kind)
        whole, part = _drawn(stage, space), _drawn(stage, space.limited_to(frozenset({claim})))
        expected = {
            "permutation": whole.permutation if claim == "permute" else np.arange(SIZE),
            "signs": whole.signs if claim == "sign" else np.ones(SIZE),
            "scales": whole.scales if claim == "scale" else np.ones(SIZE),
        }
        for name, values in expected.items():
            assert np.array_equal(getattr(part, name), values), (kind, name)


@pytest.mark.parametrize("stage", [kind() for kind in STAGES.values()], ids=lambda stage: type(stage).__name__)
def test_the_same_stream_draws_the_same(stage: Stage) -> None:
    for kind in sorted(stage.kinds):
        one, two = _drawn(stage, of_kind(kind)), _drawn(stage, of_kind(kind))
        other = stage.draw(of_kind(kind), KEY.stream("there"), FACTS)
        for name in vars(one):
            assert np.array_equal(getattr(one, name), getattr(two, name))
        assert not all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_bounds_of_the_dtype_hold() -> None:
    """A block without headroom gets no factors; signs and moves are left."""
    facts = Facts(DTYPES, bounds={"mlp/units": 0, "attention/keys.*": 1})
    action = _drawn(UnitScaling(), units(), facts)
    assert set(action.scales.tolist()) == {1.0}
    assert set(action.signs.tolist()) == {-1.0, 1.0}
    assert set(_drawn(HeadMix(), keys(), facts).scales.tolist()) <= {0.5, 1.0, 2.0}
    assert 4.0 < _drawn(HeadMix(), keys()).scales.max() <= 16.0


def test_solved_assignments_are_used_and_hidden_units_without_one_are_drawn() -> None:
    order = np.roll(np.arange(SIZE), 5)
    stage = UnitRearrangement(assignment="mismatch")
    assert np.array_equal(_drawn(stage, units(), Facts(DTYPES, assignments={"mlp/units": order})).permutation, order)
    drawn = _drawn(stage, units()).permutation
    assert np.array_equal(drawn, _drawn(UnitRearrangement(), units()).permutation)
    ignored = Facts(DTYPES, assignments={"mlp/units": order})
    assert np.array_equal(_drawn(UnitRearrangement(), units(), ignored).permutation, drawn)


@pytest.mark.parametrize(("dtype", "bound"), [("F64", 1e3), ("F32", 1e3), ("F16", 16.0), ("BF16", 256.0)])
def test_invertible_mixes_are_conditioned_for_the_dtype(dtype: str, bound: float) -> None:
    facts = Facts({**DTYPES, "q.weight": dtype})
    for pairs in (False, True):
        matrix = _drawn(HeadMix(kind="invertible"), keys(pairs=pairs), facts).matrix
        assert bound**0.4 < np.linalg.cond(matrix) <= min(bound, 1e3) * (1 + 1e-9)
        assert np.linalg.cond(_drawn(HeadMix(kind="invertible", max_condition=2.0), keys(), facts).matrix) <= 2.0 + 1e-9


def test_orthogonal_mixes_are_orthogonal() -> None:
    for pairs in (False, True):
        matrix = _drawn(HeadMix(kind="orthogonal"), keys(pairs=pairs)).matrix
        assert np.allclose(matrix @ matrix.T, np.eye(SIZE), atol=1e-12)
        assert np.abs(matrix - np.eye(SIZE)).max() > 0.5


@pytest.mark.parametrize("kind", ["exact", "orthogonal", "invertible"])
def test_under_rotary_pairs_a_mix_commutes_with_every_rotation(kind: Any) -> None:
    """So the scores of any two positions stay: (R_m M^-T q) . (R_n M k) = (R_m q) . (R_n k)."""
    action = _drawn(HeadMix(kind=kind), keys(pairs=True))
    matrix = action.matrix if isinstance(action, Mix) else _matrix(action)
    assert np.abs(matrix - np.eye(SIZE)).max() > 0.5
    angles = np.random.default_rng(0).uniform(0, 6, SIZE // 2)
    rotation = np.zeros((SIZE, SIZE))
    for (first, second), angle in zip(HALVES, angles, strict=True):
        rotation[first, first] = rotation[second, second] = np.cos(angle)
        rotation[second, first], rotation[first, second] = np.sin(angle), -np.sin(angle)
    assert np.allclose(rotation @ matrix, matrix @ rotation, atol=1e-12)


def _matrix(action: Monomial) -> Any:
    return np.diag(action.signs * action.scales) @ np.eye(SIZE)[action.permutation]


def test_head_scaling_gives_both_dimensions_of_a_rotary_pair_one_factor() -> None:
    scales = _drawn(HeadScaling(), keys(pairs=True)).scales
    assert np.array_equal(scales[: SIZE // 2], scales[SIZE // 2 :])
    assert len(set(scales.tolist())) == SIZE // 2
    free = _drawn(HeadScaling(), keys()).scales
    assert len(set(free.tolist())) == SIZE
    assert 0.05 <= free.min() < free.max() <= 20.0
    assert HeadScaling().draw(keys("permute"), KEY.stream("here"), FACTS) is None
    narrow = _drawn(HeadScaling(low=0.5, high=2.0, distribution="log_uniform"), keys()).scales
    assert 0.5 <= narrow.min() < 1.0 < narrow.max() <= 2.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_exact_plans_are_undone_to_the_bit(dtype: torch.dtype) -> None:
    stages = [UnitRearrangement(), UnitScaling(), HeadMix(), UnitScaling()]
    plan = _plan(stages, [units(), keys(pairs=True)], SHAPES)
    tensors = _random(dtype, SHAPES)
    released = _applied(plan, tensors)
    restored = _applied(plan.inverse(), released)
    assert plan.moved == set(SHAPES)
    for name, tensor in tensors.items():
        assert not torch.equal(released[name], tensor)
        assert torch.equal(restored[name], tensor)


@pytest.mark.parametrize("kind", ["exact", "orthogonal", "invertible"])
def test_mixes_reach_every_copy(kind: Any) -> None:
    """Three query heads share a key head: the scores of all three stay, and moves before and after compose."""
    stages = [HeadMix(kind=kind), HeadMix(), HeadScaling(), HeadMix(kind="orthogonal")]
    plan = _plan(stages, [keys()], SHAPES)
    tensors = _random(torch.float64, SHAPES)
    released, restored = _applied(plan, tensors), _applied(plan.inverse(), _applied(plan, tensors))
    for head in range(3):
        at = slice(head * SIZE, (head + 1) * SIZE)
        scores = tensors["q.weight"][at].T @ tensors["k.weight"]
        assert torch.allclose(released["q.weight"][at].T @ released["k.weight"], scores, atol=1e-9)
        assert not torch.allclose(released["q.weight"][at], tensors["q.weight"][at], atol=0.1)
    for name in ("q.weight", "k.weight"):
        assert torch.allclose(restored[name], tensors[name], atol=1e-9)


def test_a_mark_knows_its_actions() -> None:
    """It changes with the key, the stage, the place and the numbers, and not with the last bits of a float."""
    spaces = [units(), keys(), keys(pairs=True, name="attention/keys.1")]

    def mark(recipe: Recipe, key: Key = KEY, at: list[Space] = spaces, nudge: float = 0.0) -> str:
        drawn = list(draw_actions(at, recipe=recipe, key=key, component="", facts=FACTS))
        for one in drawn:
            if isinstance(one.action, Mix):
                one.action.matrix[:] *= 1 + nudge
            else:
                one.action.scales[:] *= 1 + nudge
        return mark_actions(drawn, KEY)

    recipe = Recipe([HeadMix(kind="invertible"), UnitScaling(), UnitRearrangement(), HeadScaling()])
    same = mark(recipe)
    assert same == mark(recipe) == mark(recipe, nudge=1e-13)
    others = [
        mark(recipe, Key(bytes(32))),
        mark(recipe, nudge=0.1),
        mark(Recipe(reversed(recipe.stages))),
        mark(recipe, at=spaces[:2]),
        mark(Recipe([HeadMix(kind="orthogonal"), *recipe.stages[1:]])),
        mark(Recipe([*recipe.stages[:3], HeadScaling(high=19.0)])),
    ]
    assert len({same, *others}) == 1 + len(others)
