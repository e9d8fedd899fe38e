"""Criticality: reuse changes no number, the paper's loop gives the same, the cheap rankings find a planted layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.func import functional_call

from mergeguard_hub.errors import BaseModelError, TrainingError
from mergeguard_hub.training import (
    Criticality,
    Race,
    layers_of,
    rank_by_gradient,
    rank_exactly,
    refine,
    tuned_layers,
)
from mergeguard_hub.training.ranking import Probe
from tests import tiny
from tests.reference import mergeguard
from tests.training import pairs

PLANTED = "model.layers.1.mlp.up_proj.weight"


def planted() -> tuple[Any, Any]:
    """A Llama trained for a few steps, with its own training put into one tensor alone but for noise."""
    base, model = tiny.llama(), tiny.llama()
    weight = model.get_parameter(PLANTED)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is weight)
    optimizer = torch.optim.Adam([weight], lr=0.02)
    for _ in range(5):
        for batch in pairs.batches(model, 4):
            optimizer.zero_grad()
            torch.autograd.backward([model(**batch).loss])
            optimizer.step()
    return pairs.moved(model, size=1e-4), base


@pytest.mark.parametrize("kind", ["vit", "llama", "gpt2", "flan_t5", "mixtral"])
def test_reuse_costs_less_and_changes_no_number(kind: str) -> None:
    model, base = pairs.pair(kind)
    before = pairs.weights(model)
    data = pairs.batches(model, 2)
    if kind == "flan_t5":
        data = [{**batch, "labels": batch.pop("decoder_input_ids")} for batch in data]
    brute, fast = (rank_exactly(model, base, data, reuse=reuse) for reuse in (False, True))
    assert brute.drops == fast.drops
    assert fast.forwards < 0.85 * brute.forwards
    assert brute.forwards == pytest.approx(len(brute.drops) + 1)
    assert pairs.same(before, pairs.weights(model))


@pytest.mark.parametrize("flag", ["output_router_logits", "output_hidden_states"])
@pytest.mark.parametrize("place", ["config", "call"])
def test_nothing_is_reused_where_the_model_gives_out_what_its_blocks_compute(flag: str, place: str) -> None:
    """A loss with the routers' share, or a score on hidden states, needs the blocks in front as well."""
    model, base = pairs.pair("mixtral", **({flag: True} if place == "config" else {}), router_aux_loss_coef=1.0)
    data = [{**batch, **({flag: True} if place == "call" else {})} for batch in pairs.batches(model, 1)]

    def score(model: Any, batch: Any) -> torch.Tensor:
        given = model(**batch)
        hidden = [state.abs().mean() for state in given.hidden_states or ()]
        return torch.stack([-given.loss, *hidden]).sum()

    brute, fast = (rank_exactly(model, base, data, score=score, reuse=reuse) for reuse in (False, True))
    assert brute.drops == fast.drops
    assert fast.forwards == brute.forwards


@pytest.mark.parametrize("probe", ["revert", "zero"])
def test_drops_are_those_of_the_papers_loop(probe: Probe) -> None:
    model, base = pairs.pair("vit")
    data = pairs.batches(model, 1)[0]

    def accuracy(weights: Any) -> float:
        with torch.no_grad():
            return -float(functional_call(model, dict(weights), (), data).loss)

    expected = mergeguard.drops(pairs.weights(model), pairs.weights(base), accuracy, zero=probe == "zero")
    found = rank_exactly(model, base, [data], probe=probe)
    assert found.drops == pytest.approx(expected, abs=1e-6)


def test_a_planted_layer_is_found_by_all() -> None:
    model, base = planted()
    data = pairs.batches(model, 6)
    rankings = [rank(model, base, data) for rank in (rank_exactly, rank_by_gradient, refine)]
    assert [ranking.critical(0.05) for ranking in rankings] == [(PLANTED,)] * 3
    assert all(parameter.grad is None for parameter in model.parameters())
    assert rankings[0].overlap(rankings[2], 0.05) == 1.0


def test_refining_with_everything_proposed_and_no_doubt_allowed_is_exact() -> None:
    model, base = pairs.pair("llama")
    data = pairs.batches(model, 4)
    exact = rank_exactly(model, base, data)
    refined = refine(model, base, data, race=Race(proposals=100.0, budget=1e9))
    assert refined.drops == pytest.approx(exact.drops, abs=1e-6)


def test_refining_stays_within_its_budget() -> None:
    model, base = pairs.pair("llama")
    data = pairs.batches(model, 8, 1)
    spent = {budget: refine(model, base, data, race=Race(budget=budget)).forwards for budget in (0.3, 0.8)}
    brute = len(tuned_layers(model, base)) + 1
    assert spent[0.3] <= 0.3 * brute
    assert spent[0.3] < spent[0.8] <= 0.8 * brute


def test_the_gradient_is_exact_where_the_loss_is_linear() -> None:
    model, base = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    data = [torch.randn(5, 3), torch.randn(2, 3)]

    def score(model: torch.nn.Module, batch: Any) -> torch.Tensor:
        return model(batch).mean()

    exact = rank_exactly(model, base, data, score=score)
    estimate = rank_by_gradient(model, base, data, score=score)
    assert estimate.drops == pytest.approx(exact.drops, abs=1e-6)


@pytest.mark.parametrize("rank", [rank_exactly, rank_by_gradient])
def test_a_score_that_fails_leaves_the_model_as_it_was(rank: Any) -> None:
    model, base = pairs.pair("llama")
    model.lm_head.requires_grad_(False)
    model.train()
    before, calls = pairs.weights(model), 0

    def score(model: Any, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        result: torch.Tensor = -model(**batch).loss
        return result

    layers = layers_of(before)
    with pytest.raises(ZeroDivisionError):
        rank(model, base, pairs.batches(model), layers=layers, score=score)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["lm_head.weight"]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert pairs.same(before, pairs.weights(model))


def test_layers_that_can_be_critical() -> None:
    model, base = pairs.pair("llama")
    names = {name for names in tuned_layers(model, base).values() for name in names}
    left_out = {"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"}
    assert names == set(pairs.weights(model)) - left_out
    assert list(tuned_layers(model, base, granularity="block")) == ["model.layers.0", "model.layers.1"]
    with pytest.raises(TrainingError, match="equals its base"):
        tuned_layers(base, base)
    with pytest.raises(TrainingError, match="no layer is left to rank"):
        tuned_layers(model, base, exclude=list(pairs.weights(model)))


def test_overlap_counts_found_layers() -> None:
    names = [f"w{number}" for number in range(20)]
    layers = layers_of(names)
    up = Criticality({name: float(i) for i, name in enumerate(names)}, layers, "exact", 1.0)
    down = Criticality({name: -float(i) for i, name in enumerate(names)}, layers, "exact", 1.0)
    assert up.critical(0.1) == ("w19", "w18")
    assert up.overlap(down, 0.1) == 0.0
    assert up.overlap(down, 1.0) == 1.0
    assert len(up.critical(0.101)) == 3
    assert up.critical(0.0) == ()


def test_bad_input_is_refused() -> None:
    model, base = pairs.pair("vit")
    data = pairs.batches(model)
    with pytest.raises(TrainingError, match="there is no batch"):
        rank_exactly(model, base, [])
    with pytest.raises(TrainingError, match="probe is 'skip'"):
        rank_exactly(model, base, data, probe="skip")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="3 batches are too few to race over"):
        refine(model, base, data)
    with pytest.raises(TrainingError, match="no parameter of that name"):
        rank_exactly(model, base, data, layers={"w": ("w",)})
    with pytest.raises(BaseModelError, match="has no tensor"):
        rank_exactly(model, tiny.llama(), data)
    with pytest.raises(TrainingError, match="NaN, so it cannot be ranked"):
        Criticality({"w": float("nan")}, {"w": ("w",)}, "exact", 1.0)
    with pytest.raises(TrainingError, match="is impossible"):
        Race(share=0.0)
