"""Blocks of a release against the original: exact moves leave nothing, one damaged row shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Monomial, Plan
from mergeguard_hub.architecture.block import Attention, Mlp, Part
from mergeguard_hub.architecture.space import CLAIMS, Port, Space, rows
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.protection import Recipe
from mergeguard_hub.release.blocks import block_drift
from mergeguard_hub.release.draft import Draft, draft, learn_facts
from mergeguard_hub.release.study import study
from tests import tiny
from tests.release.releases import KEY

FAMILIES = ("llama", "gemma2", "qwen3", "phi3", "gpt2", "gpt_neox", "mixtral", "flan_t5", "bert", "vit")
EXACT = 1e-5
Drafter = Callable[[str, str, torch.dtype], Draft]


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Drafter:
    """Give `drafted(family, preset, dtype)`: a tiny model saved, proved and drawn."""
    known: dict[tuple[str, str, torch.dtype], Draft] = {}

    def make(family: str, preset: str, dtype: torch.dtype) -> Draft:
        if (family, preset, dtype) not in known:
            folder = tiny.save(tiny.FAMILIES[family](dtype=dtype), tmp_path_factory.mktemp(family) / "model")
            found, recipe = study(Checkpoint.open(folder)), Recipe.preset(preset)
            facts, _ = learn_facts(found, recipe=recipe, key=KEY, base=None, executor=None, done=lambda entry: None)
            known[family, preset, dtype] = draft(found, facts, recipe=recipe, key=KEY, component="")
        return known[family, preset, dtype]

    return make


def _blocks(made: Draft) -> list[Attention | Mlp]:
    return [*made.study.layout.attentions, *made.study.layout.mlps]


def _stored(made: Draft) -> dict[str, Tensor]:
    read, plan = made.study.checkpoint.tensor, made.plan
    return {name: plan.apply(name, read(plan.source.get(name, name))) for name in plan.shapes}


def _drift(made: Draft, block: Attention | Mlp, release: dict[str, Tensor]) -> float:
    read, source = made.study.checkpoint.tensor, made.plan.source
    return block_drift(block, made.plan, read=lambda n: read(source.get(n, n)), read_release=release.__getitem__)


def _parts(block: Attention | Mlp) -> list[Part]:
    found = (
        [block.query, block.key, block.value, block.output]
        if isinstance(block, Attention)
        else [block.up, block.down, block.gate]
    )
    return [part for part in found if part is not None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_recipes_only_reorder_sums(family: str, dtype: torch.dtype, drafted: Drafter) -> None:
    made = drafted(family, "exact", dtype)
    release = _stored(made)
    assert len(_blocks(made)) >= 2
    assert any(not torch.equal(release[name], made.study.checkpoint.tensor(name)) for name in release)
    assert max(_drift(made, block, release) for block in _blocks(made)) < EXACT


@pytest.mark.parametrize(
    ("preset", "dtype", "least", "most"),
    [
        ("mergelock", torch.bfloat16, 1e-4, 5e-2),
        ("params", torch.float16, 1e-5, 5e-3),
        ("mergelock", torch.float32, 0, EXACT),
    ],
)
def test_rounding_shows_as_large_as_the_dtype_makes_it(
    preset: str, dtype: torch.dtype, least: float, most: float, drafted: Drafter
) -> None:
    made = drafted("llama", preset, dtype)
    assert least <= max(_drift(made, block, _stored(made)) for block in _blocks(made)) < most


@pytest.mark.parametrize("family", FAMILIES)
def test_one_damaged_unit_of_any_part_raises_the_drift(family: str, drafted: Drafter) -> None:
    made = drafted(family, "exact", torch.float32)
    release = _stored(made)
    for block in _blocks(made)[:4]:
        for part in _parts(block):
            unit = int(part.positions.reshape(-1)[part.positions.size // 2])
            damaged = release[part.weight].clone()
            damaged.select(part.axis, unit).neg_().mul_(1.5)
            drift = _drift(made, block, release | {part.weight: damaged})
            assert drift > 100 * EXACT, (block.prefix, part.weight)


def test_one_damaged_row_of_the_residual_side_raises_the_drift(drafted: Drafter) -> None:
    made = drafted("llama", "exact", torch.bfloat16)
    release = _stored(made)
    for block in _blocks(made):
        last = block.output if isinstance(block, Attention) else block.down
        damaged = release[last.weight].clone()
        damaged[9] = damaged[10]
        assert _drift(made, block, release | {last.weight: damaged}) > 100 * EXACT


def test_damage_that_is_not_finite_is_infinite_drift(drafted: Drafter) -> None:
    made = drafted("llama", "exact", torch.float32)
    release = _stored(made)
    block = made.study.layout.mlps[0]
    damaged = release[block.up.weight].clone()
    damaged[3, 4] = torch.nan
    assert _drift(made, block, release | {block.up.weight: damaged}) == float("inf")


def test_weights_left_as_they_were_do_not_pass_for_moved_ones(drafted: Drafter) -> None:
    made = drafted("llama", "exact", torch.float32)
    block, read = made.study.layout.mlps[0], made.study.checkpoint.tensor
    assert block_drift(block, made.plan, read=read, read_release=read) > 0.1


def test_pieces_cover_a_matrix_wider_than_one_piece(tmp_path: Path, drafted: Drafter) -> None:
    folder = tiny.save(tiny.llama(intermediate_size=5000, num_hidden_layers=1), tmp_path / "wide")
    found, recipe = study(Checkpoint.open(folder)), Recipe.preset("exact")
    facts, _ = learn_facts(found, recipe=recipe, key=KEY, base=None, executor=None, done=lambda entry: None)
    made = draft(found, facts, recipe=recipe, key=KEY, component="")
    release = _stored(made)
    mlp = made.study.layout.mlps[0]
    assert _drift(made, mlp, release) < EXACT
    release[mlp.down.weight][-1, -1] += 100
    assert _drift(made, mlp, release) > 100 * EXACT


@pytest.mark.parametrize("expert", [0, 2])
def test_every_stacked_expert_is_compared(expert: int) -> None:
    """Three experts in one tensor, the first and last exchanged."""
    torch.manual_seed(0)
    weights = {"up": torch.randn(3, 12, 8), "down": torch.randn(3, 8, 12)}
    units = torch.arange(12).numpy()
    mlp = Mlp("experts", "stacked", Part("up", 1, units), Part("down", 2, units))
    plan = Plan({name: tuple(tensor.shape) for name, tensor in weights.items()})
    exchange = Space("e", "experts", 3, tuple(Port(n, 0, rows(0, 3)) for n in weights), frozenset(CLAIMS))
    move = Space("u", "hidden_units", 12, (Port("up", 1, rows(0, 12)), Port("down", 2, rows(0, 12))), frozenset(CLAIMS))
    plan.add(exchange, Monomial(np.array([2, 1, 0]), np.ones(3), np.ones(3)))
    plan.add(move, Monomial(np.roll(np.arange(12), 5), np.ones(12), np.ones(12)))
    release = {name: plan.apply(name, tensor) for name, tensor in weights.items()}
    assert block_drift(mlp, plan, read=weights.__getitem__, read_release=release.__getitem__) < EXACT
    release["up"][expert, 7] += 1.0
    assert block_drift(mlp, plan, read=weights.__getitem__, read_release=release.__getitem__) > 100 * EXACT
