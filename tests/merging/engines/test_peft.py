"""PEFT's merging of adapters: what each combination type is, and where it is not what its name says."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from mergeguard_hub.errors import EngineError
from mergeguard_hub.merging import TaskArithmetic, Ties
from mergeguard_hub.merging.engines import ADAPTER_METHODS, merge_adapters
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks the old name
DENSITY = {name: 0.5 for name in ADAPTER_METHODS if "ties" in name or "dare" in name or "magnitude" in name}


@pytest.fixture
def model() -> Any:
    """A tiny Llama with two adapters of rank 4, whose both factors are random."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    found = get_peft_model(tiny.llama(), config, adapter_name="left")
    found.add_adapter("right", config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in found.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return found


def change(model: Any, adapter: str) -> Tensor:
    """Return what an adapter adds to the first query projection, scaling included."""
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    with torch.no_grad():
        found: Tensor = layer.scaling[adapter] * layer.lora_B[adapter].weight @ layer.lora_A[adapter].weight
    return found


@pytest.mark.parametrize("method", ADAPTER_METHODS)
def test_every_combination_type_runs(model: Any, method: str) -> None:
    merge_adapters(model, ["left", "right"], "merged", method=method, density=DENSITY.get(method))
    assert torch.isfinite(change(model, "merged")).all()
    assert change(model, "merged").any()


@pytest.mark.parametrize("method", ["svd", "cat"])
def test_svd_and_cat_are_task_arithmetic_on_the_products(model: Any, method: str) -> None:
    rank = {"svd_rank": 8} if method == "svd" else {}  # both ranks together, so that nothing is cut off
    merge_adapters(model, ["left", "right"], "merged", method=method, weights=[0.3, 0.6], **rank)
    zero = torch.zeros(1)
    expected = TaskArithmetic(scale=1.0, weights=(0.3, 0.6)).merge(
        {"w": zero.expand_as(change(model, "left"))}, [{"w": change(model, "left")}, {"w": change(model, "right")}]
    )["w"]
    torch.testing.assert_close(change(model, "merged"), expected, rtol=1e-5, atol=1e-4)


def test_linear_is_not_task_arithmetic(model: Any) -> None:
    """It adds up A and B separately, each by the square root of its weight: the product has cross terms."""
    merge_adapters(model, ["left", "right"], "merged", method="linear", weights=[0.3, 0.6])
    expected = 0.3 * change(model, "left") + 0.6 * change(model, "right")
    assert float((change(model, "merged") - expected).norm() / expected.norm()) > 0.3


def test_ties_svd_elects_unweighted_and_per_tensor(model: Any) -> None:
    """With equal weights of 1 it is ours per tensor, up to the rank; ours divides by the models that agree as well."""
    merge_adapters(
        model, ["left", "right"], "merged", method="ties_svd", density=0.5, svd_rank=32, svd_full_matrices=True
    )
    products = [{"w": change(model, name)} for name in ("left", "right")]
    ours = Ties(density=0.5, per_tensor=True).merge({"w": torch.zeros_like(products[0]["w"])}, products)["w"]
    torch.testing.assert_close(change(model, "merged"), ours, rtol=1e-4, atol=1e-3)


def test_dare_has_a_seed(model: Any) -> None:
    state = torch.random.get_rng_state()
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        merge_adapters(model, ["left", "right"], name, method="dare_linear", density=0.5, seed=seed)
    assert torch.equal(change(model, "one"), change(model, "again"))
    assert not torch.equal(change(model, "one"), change(model, "two"))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "average"}, "'average' is no combination type of PEFT; choose one of svd, cat"),
        ({"method": "ties"}, "density is None, and 'ties' needs one above 0"),
        ({"method": "dare_linear", "density": 0.0}, "density is 0.0, and 'dare_linear' needs one above 0"),
        ({"method": "dare_linear", "density": math.nan}, "density is nan, and"),
        ({"method": "svd", "density": 0.5}, "density is 0.5, and 'svd' has none"),
        ({"adapters": []}, "the list of adapters is empty"),
        ({"adapters": ["left", "c"]}, "The model has no adapter 'c', only left, right"),
        ({"name": "right"}, "has an adapter 'right' already"),
        ({"weights": [1.0]}, "There are 1 weights for 2 adapters"),
        ({"nonsense": 1}, "PEFT cannot merge the adapters left, right by 'svd': "),
    ],
)
def test_refuses(model: Any, settings: dict[str, Any], message: str) -> None:
    arguments = {"adapters": ["left", "right"], "name": "merged", **settings}
    with pytest.raises(EngineError, match=message):
        merge_adapters(model, arguments.pop("adapters"), arguments.pop("name"), **arguments)
    assert list(model.peft_config) == ["left", "right"]
