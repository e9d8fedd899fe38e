"""Recovery fine-tuning and GradErase on a problem whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mergeguard_hub.attacks import grad_erase, recover
from mergeguard_hub.attacks.grad_erase import probe
from mergeguard_hub.attacks.recovery import without
from mergeguard_hub.errors import AttackError

WANTED = torch.tensor([[1.0, -2.0, 0.5]])


def _model() -> nn.Linear:
    model = nn.Linear(3, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def _batches(count: int = 3, rows: int = 4) -> list[dict[str, Tensor]]:
    inputs = [torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]
    return [{"x": x, "y": x @ WANTED.T} for x in inputs]


def _loss(model: nn.Module, batch: Any) -> Tensor:
    return (model(batch["x"]) - batch["y"]).square().mean()


def _score(model: nn.Module) -> float:
    return -float((next(model.parameters()) - WANTED).norm())


def test_the_curve_counts_what_was_spent_and_ends_at_the_answer() -> None:
    model = _model()
    curve = recover(model, _batches(), steps=400, lr=0.05, measure=_score, at=(0, 2, 10, 400), loss=_loss)
    assert [point.steps for point in curve] == [0, 2, 10, 400]
    assert [point.examples for point in curve] == [0, 8, 12, 12], "examples seen again cost nothing"
    assert curve[0].train_s == 0.0
    assert [p.train_s for p in curve] == sorted(p.train_s for p in curve)
    assert curve[0].score == pytest.approx(-float(WANTED.norm()))
    assert curve[-1].score > -0.01
    assert not model.training


def test_no_step_changes_nothing() -> None:
    model = _model()
    (point,) = recover(model, _batches(), steps=0, loss=_loss)
    assert (point.steps, point.examples) == (0, 0)
    assert point.score == -point.loss
    assert model.weight.tolist() == [[0.0, 0.0, 0.0]]


def test_a_model_that_computes_its_own_loss() -> None:
    from tests import tiny

    model = tiny.llama()
    tokens = tiny.example_inputs(model)["input_ids"]
    curve = recover(model, [{"input_ids": tokens, "labels": tokens}], steps=4, lr=1e-3, at=(0,))
    assert [point.steps for point in curve] == [0, 4]
    assert curve[-1].loss < curve[0].loss
    assert curve[-1].examples == len(tokens)


def test_nothing_is_learned_along_an_erased_direction() -> None:
    model = _model()
    erased = {"weight": torch.tensor([[0.0, 3.0, 0.0]])}
    recover(model, _batches(), steps=200, lr=0.05, loss=_loss, erased=erased)
    assert model.weight[0, 1].item() == 0.0
    assert model.weight[0, 0].item() != 0.0
    assert torch.equal(without(torch.ones(2), torch.zeros(2)), torch.ones(2))


def test_grad_erase_avoids_what_the_probe_learns() -> None:
    """The probe sees one input direction only, so that weight is what the retraining may not touch."""
    first = torch.eye(3)[:1]
    sample = [{"x": first, "y": first @ WANTED.T}]
    start = _model()
    found = probe(start, sample, steps=5, lr=0.05, loss=_loss)
    assert found["weight"][0].count_nonzero() == 1
    assert start.weight.count_nonzero() == 0, "the probe works on a copy"
    model = _model()
    curve = grad_erase(model, _batches(), sample=sample, steps=200, lr=0.05, loss=_loss, measure=_score)
    assert model.weight[0, 0].item() == pytest.approx(0.0, abs=1e-6)
    assert -2.0 < curve[-1].score < -0.5, "all but that weight was learned"


@pytest.mark.parametrize(
    ("batches", "settings", "message"),
    [([], {}, "0 batches"), (_batches(), {"steps": -1}, "-1 steps"), (_batches(), {"lr": 0.0}, "lr 0.0")],
)
def test_impossible_settings_are_refused(batches: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AttackError, match=message):
        recover(_model(), batches, loss=_loss, **settings)


def test_a_broken_merge_is_refused() -> None:
    model = _model()
    nn.init.constant_(model.weight, float("nan"))
    with pytest.raises(AttackError, match="the loss is nan during recovery"):
        recover(model, _batches(), loss=_loss)
