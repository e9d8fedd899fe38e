"""What must fail, fails: wrong readings, forgotten ports, idle weights, published formulas that break under RoPE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mergeguard_hub.architecture import Miniature, Space, prove
from mergeguard_hub.architecture.action import Action, Mix, Monomial, Plan
from mergeguard_hub.architecture.block import Candidate
from mergeguard_hub.architecture.check import check
from mergeguard_hub.architecture.proposal import propose
from mergeguard_hub.architecture.prove import Proved, prove_place
from tests.architecture.miniatures import miniature, names_of, proof

BROKEN = 1e-3  # relative output error of something that is plainly not a symmetry


def candidate(family: str, group: str, reading: str) -> Candidate:
    found = propose(names_of(miniature(family))).candidates
    return next(one for one in found if one.group == group and one.reading == reading)


def error_of(family: str, actions: list[tuple[Space, Action]]) -> float:
    found = miniature(family)
    plan = Plan({name: tuple(tensor.shape) for name, tensor in found.state.items()})
    for space, action in actions:
        plan.add(space, action)
    return found.error({name: plan.apply(name, tensor) for name, tensor in found.state.items()})


@pytest.mark.parametrize(
    ("family", "group", "reading"),
    [
        ("llama", "query_key", "head_dim, free"),
        ("llama", "query_key", "head_dim, rotary neighbours, all"),
        ("gpt_neox", "query_key", "grouped, width / num_attention_heads, rotary halves, all"),
        ("gpt_neox", "value_output", "stacked, width / num_attention_heads"),
        ("gpt2", "value_output", "grouped, width / n_head"),
        ("phi3", "heads", "grouped, width / num_attention_heads"),
    ],
)
def test_a_wrong_reading_changes_the_outputs(family: str, group: str, reading: str) -> None:
    wrong = candidate(family, group, reading)
    assert all(check(miniature(family), wrong.spaces, claim) > BROKEN for claim in wrong.claims - {"sign"})


@pytest.mark.parametrize(("family", "reading"), [("llama", "up beside gate, axis 0"), ("phi3", "up first, axis 0")])
def test_a_gate_taken_for_the_linear_half_loses_signs_and_scales(family: str, reading: str) -> None:
    found = prove_place(miniature(family), [candidate(family, "units", reading)])
    assert isinstance(found, Proved)
    assert found.claims == {"permute"}


def test_a_fused_projection_split_at_the_wrong_rows_is_refused() -> None:
    wrong = candidate("phi3", "units", "gate even, axis 0")
    assert prove_place(miniature("phi3"), [wrong]) == (
        f"outputs changed by {min(check(miniature('phi3'), wrong.spaces, c) for c in wrong.claims):.1e} relative or "
        "more under all 1 readings"
    )


@pytest.mark.parametrize(
    ("group", "reading"),
    [
        ("units", "gate beside up, axis 0"),
        ("query_key", "head_dim, rotary halves, all"),
        ("value_output", "head_dim"),
        ("heads", "head_dim"),
        ("residual", "every axis of that size"),
    ],
)
def test_a_space_with_any_one_port_left_out_is_no_symmetry(group: str, reading: str) -> None:
    whole = candidate("llama", group, reading).spaces
    claim = "permute"
    for left_out in range(len(whole[0].ports)):
        ports = tuple(port for number, port in enumerate(whole[0].ports) if number != left_out)
        assert check(miniature("llama"), [replace(whole[0], ports=ports), *whole[1:]], claim) > BROKEN


def test_an_idle_matrix_is_reported() -> None:
    found = prove(Miniature({"model_type": "big_bird", "architectures": ["BigBirdForCausalLM"]}))
    assert "does not exercise bert.pooler.weight" in found.refused["hidden_size", "residual"]


def rotary_spaces() -> list[Space]:
    return list(candidate("llama", "query_key", "head_dim, rotary halves, all").spaces)


def test_params_scaling_per_dimension_breaks_under_rotary_embeddings() -> None:
    """PaRaMS (arXiv 2503.07661) draws one factor from U(0.05, 20) per dimension; a rotated pair must share it."""
    generator = np.random.default_rng(0)
    spaces = rotary_spaces()
    same, ones = np.arange(spaces[0].size), np.ones(spaces[0].size)
    literal = [(space, Monomial(same, ones, generator.uniform(0.05, 20, space.size))) for space in spaces]
    shared = [
        (space, Monomial(same, ones, np.tile(generator.uniform(0.05, 20, space.size // 2), 2))) for space in spaces
    ]
    assert error_of("llama", literal) > 0.05
    assert error_of("llama", shared) < 1e-9


def test_scales_are_claimed_per_rotated_pair_only() -> None:
    place = ("model.layers.*.self_attn", "query_key")
    assert proof("llama").proved[place].reading == "head_dim, rotary halves, all"
    assert all(space.pairs is not None for space in rotary_spaces())


def test_a_reflection_that_mixes_pairs_breaks_under_rotary_embeddings() -> None:
    """I - 2 u u^T commutes with no rotation of the pairs it mixes; as a value-output mix it is free."""
    direction = np.random.default_rng(1).normal(size=miniature("llama").config["head_dim"])
    direction /= np.linalg.norm(direction)
    reflection = Mix(np.eye(direction.size) - 2 * np.outer(direction, direction))
    free = candidate("llama", "value_output", "head_dim").spaces
    assert error_of("llama", [(space, reflection) for space in rotary_spaces()]) > 0.05
    assert error_of("llama", [(space, reflection) for space in free]) < 1e-9
