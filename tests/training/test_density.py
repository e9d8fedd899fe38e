"""Stage 1: the fused gradient is that of the paper's loss, in every reading."""

from __future__ import annotations

import pytest
import torch

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training import DensityPenalty
from tests.reference import mergeguard
from tests.training import pairs

ALPHA = 0.01


def test_gradients_are_those_of_the_papers_loss() -> None:
    model, _ = pairs.pair("llama")
    batch = pairs.batches(model)[0]
    torch.autograd.backward([mergeguard.total_loss(model(**batch).loss, list(model.parameters()), ALPHA)])
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    torch.autograd.backward([model(**batch).loss])
    DensityPenalty(alpha=ALPHA).add_gradients(model)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-7)


def test_mean_is_the_sum_divided_by_the_number_of_weights() -> None:
    model = torch.nn.Linear(3, 2)
    count = sum(parameter.numel() for parameter in model.parameters())
    total, mean = (DensityPenalty(alpha=ALPHA, reduction=kind) for kind in ("sum", "mean"))
    assert float(total.value(model)) == pytest.approx(count * float(mean.value(model)))
    assert float(total.value(model)) == pytest.approx(
        ALPHA * sum(float((p.detach() ** 2).sum()) for p in model.parameters())
    )
    mean.add_gradients(model)
    torch.testing.assert_close(model.weight.grad, 2 * ALPHA / count * model.weight.detach())


def test_decoupled_shrinks_as_a_plain_gradient_step_would() -> None:
    model, literal = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    literal.load_state_dict(model.state_dict())
    DensityPenalty(alpha=ALPHA).add_gradients(literal)
    torch.optim.SGD(literal.parameters(), lr=0.1).step()
    penalty = DensityPenalty(alpha=ALPHA, decoupled=True)
    penalty.add_gradients(model)
    assert model.weight.grad is None
    penalty.shrink(model, learning_rate=0.1)
    torch.testing.assert_close(model.weight, literal.weight)


def test_norms_and_biases_can_be_left_out_and_tied_weights_count_once() -> None:
    model, _ = pairs.pair("gpt2")
    DensityPenalty(alpha=0.5, norms_and_biases=False).add_gradients(model)
    given = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert {given[name] is None for name, p in model.named_parameters() if p.ndim < 2} == {True}
    assert torch.equal(given["transformer.wte.weight"], model.lm_head.weight.detach())


def test_unused_parameters_are_penalised_and_frozen_ones_are_not() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].requires_grad_(False)
    DensityPenalty(alpha=0.5).add_gradients(model)
    assert torch.equal(model[0].weight.grad, model[0].weight.detach())
    assert model[1].weight.grad is None


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_impossible_alphas_are_refused(alpha: float) -> None:
    with pytest.raises(TrainingError, match="alpha is .* finite and not negative"):
        DensityPenalty(alpha=alpha)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(TrainingError, match="must be 'sum' .* or 'mean'"):
        DensityPenalty(reduction="max")  # type: ignore[arg-type]
    model = torch.nn.Linear(2, 2)
    with pytest.raises(TrainingError, match="drives the loss to infinity; lower alpha"):
        DensityPenalty(alpha=60, decoupled=True).shrink(model, learning_rate=0.1)
    model.requires_grad_(False)
    with pytest.raises(TrainingError, match="everything is frozen"):
        DensityPenalty().add_gradients(model)


def test_alpha_zero_changes_nothing() -> None:
    model = torch.nn.Linear(2, 2)
    DensityPenalty(alpha=0.0).add_gradients(model)
    assert not model.weight.grad.any()


def test_a_penalty_without_weights_is_refused() -> None:
    model = torch.nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    penalty = DensityPenalty(norms_and_biases=False)
    for ask in (penalty.value, penalty.add_gradients):
        with pytest.raises(TrainingError, match="only norms and biases are trained"):
            ask(model)
