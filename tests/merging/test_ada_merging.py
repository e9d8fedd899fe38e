"""AdaMerging: nothing is learned in no steps, and the answer is found where it is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mergeguard_hub.errors import MergeError, NonFiniteWeightsError
from mergeguard_hub.merging import AdaMerging, TaskArithmetic, Ties
from mergeguard_hub.merging.ada_merging import entropy
from mergeguard_hub.merging.ties import thresholds, trimmed
from tests.merging.table import drawn

Tensors = dict[str, Tensor]


def linear(weights: Tensors, batch: Tensor) -> Tensor:
    """Return logits [n, 2] of a linear model on [n, 2]."""
    return batch @ weights["w"].T


BASE = {"w": torch.zeros(2, 2)}
SURE = {"w": torch.tensor([[2.0, 0.0], [-2.0, 0.0]])}  # decides by the first input
USELESS = {"w": torch.tensor([[0.0, 0.0], [0.0, 0.0]])}
UNSURE = {"w": torch.tensor([[-1.5, 0.0], [1.5, 0.0]])}  # undoes the first
INPUTS = torch.tensor([[1.0, 0.5], [-1.0, 0.2]])


def ignored(weights: Tensors, batch: Tensor) -> Tensor:
    return weights["matrix"].sum() * batch


@pytest.mark.parametrize("layer_wise", [True, False])
def test_in_no_steps_it_is_task_arithmetic(layer_wise: bool) -> None:
    base, models = drawn(0, dtype=torch.float32), [drawn(1, dtype=torch.float32), drawn(2, dtype=torch.float32)]
    found = AdaMerging(layer_wise, steps=0, start=0.25).learn(base, models, ignored, [[INPUTS]])
    expected = TaskArithmetic(scale=0.25).merge(base, models)
    for name, tensor in expected.items():
        torch.testing.assert_close(found.weights[name], tensor)
        assert found.weights[name].dtype is tensor.dtype
    assert found.entropies == ()
    assert set(found.coefficients) == {"matrix", "tall", "vector", "kernel", "one", "scalar"}
    assert set(found.coefficients.values()) == {(0.25, 0.25)}


def test_plus_plus_in_no_steps_adds_trimmed_task_vectors() -> None:
    base, models = drawn(0), [drawn(1), drawn(2)]
    found = AdaMerging(density=0.2, steps=0, start=0.5).learn(base, models, ignored, [[INPUTS]])
    limits = thresholds(base, models, density=0.2, per_tensor=False)
    vectors = trimmed(limits, "matrix", base["matrix"], [model["matrix"] for model in models])
    torch.testing.assert_close(found.weights["matrix"], base["matrix"] + 0.5 * (vectors[0] + vectors[1]))
    alone = AdaMerging(density=0.2, steps=0, start=1.0).learn(base, models[:1], ignored, [[INPUTS]])
    torch.testing.assert_close(alone.weights["matrix"], Ties(0.2).merge(base, models[:1])["matrix"])


@pytest.mark.parametrize("layer_wise", [True, False])
def test_learns_to_take_the_sure_model_and_leave_the_one_that_undoes_it(layer_wise: bool) -> None:
    method = AdaMerging(layer_wise, steps=60, learning_rate=0.05)
    found = method.learn(BASE, [SURE, UNSURE, USELESS], linear, [[INPUTS], [INPUTS[:1]]])
    sure, unsure, useless = found.coefficients["w"]
    assert (sure, unsure) == (1.0, 0.0)
    assert useless == pytest.approx(0.3)
    assert found.entropies[-1] < found.entropies[0] / 4
    torch.testing.assert_close(found.weights["w"], SURE["w"])


def test_layer_wise_learns_each_tensor_for_itself() -> None:
    base = {"a": torch.zeros(2, 2), "b": torch.zeros(2, 2)}
    one = {"a": SURE["w"], "b": UNSURE["w"]}

    def logits(weights: Tensors, batch: Tensor) -> Tensor:
        return batch @ (weights["a"] + weights["b"]).T

    found = AdaMerging(steps=60, learning_rate=0.05).learn(base, [one], logits, [[INPUTS]])
    assert found.coefficients == {"a": (1.0,), "b": (0.0,)}


def test_runs_a_module_by_its_weights() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    base = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    models = [{name: tensor + 0.5 * torch.randn_like(tensor) for name, tensor in base.items()} for _ in range(2)]
    batches = [[torch.randn(16, 4) for _ in range(3)] for _ in range(2)]
    method = AdaMerging(steps=30, learning_rate=0.02)

    def logits(weights: Tensors, batch: Tensor) -> Any:
        return functional_call(module, weights, (batch,))

    runs = [method.learn(base, models, logits, batches) for _ in range(2)]
    assert sum(runs[0].entropies[-3:]) < sum(runs[0].entropies[:3])
    assert runs[0].coefficients == runs[1].coefficients
    assert all(torch.equal(tensor, module.state_dict()[name]) for name, tensor in base.items())


def test_entropy_of_known_distributions() -> None:
    assert float(entropy(torch.zeros(5, 4))) == pytest.approx(math.log(4))
    assert float(entropy(torch.tensor([[1000.0, 0.0]]))) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 1.1}, "start is 1.1, and must be at least 0 and at most 1"),
        ({"steps": -1}, "steps are -1, and must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, and must be finite and above 0"),
        ({"density": 0.0}, "density is 0.0, and must be above 0"),
    ],
)
def test_refuses_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MergeError, match=message):
        AdaMerging(**settings)


def test_refuses_inputs_that_do_not_fit() -> None:
    with pytest.raises(MergeError, match="Task 2 has no batches, and its entropy cannot be measured"):
        AdaMerging().learn(BASE, [SURE], linear, [[INPUTS], []])
    with pytest.raises(MergeError, match="the list of models is empty"):
        AdaMerging().learn(BASE, [], linear, [[INPUTS]])
    with pytest.raises(NonFiniteWeightsError, match="'w' of model 1 of 1 holds NaN"):
        AdaMerging(steps=0).learn(BASE, [{"w": torch.full((2, 2), math.nan)}], linear, [[INPUTS]])
