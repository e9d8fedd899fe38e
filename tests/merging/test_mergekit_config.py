"""mergekit's configuration format: what is read, and that nothing else is read silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mergeguard_hub.errors import InvalidCheckpointError, MergeError
from mergeguard_hub.merging import (
    Breadcrumbs,
    Dare,
    DareTies,
    ModelStock,
    Slerp,
    TaskArithmetic,
    Ties,
    WeightAveraging,
)
from mergeguard_hub.merging.mergekit_config import MergePlan, parse_mergekit_config, read_mergekit_config
from tests.checkpoint.folders import write_single

README_EXAMPLE = """
models:
  - model: base          # no parameters necessary
  - model: one
    parameters: {density: 0.5, weight: 0.3}
  - model: two
    parameters: {density: 0.5, weight: 0.7}
merge_method: ties
base_model: base
parameters: {normalize: true, int8_mask: true, lambda: 0.9}
dtype: bfloat16
tokenizer_source: base
"""


def config(method: str, *rows: dict[str, Any], base: str | None = "base", **parameters: Any) -> dict[str, Any]:
    """Return a config of two models with these parameters each."""
    models = [{"model": name, "parameters": row} for name, row in zip(("one", "two"), rows or ({}, {}), strict=True)]
    found = {"merge_method": method, "models": models, "parameters": parameters}
    return {**found, "base_model": base} if base else found


HALVES = ({"weight": 0.5}, {"weight": 0.5})


def test_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "ties.yml").write_text(README_EXAMPLE)
    method = Ties(density=0.5, scale=0.9, weights=(0.3, 0.7), per_tensor=True)
    assert read_mergekit_config(tmp_path / "ties.yml") == MergePlan(method, "base", ("one", "two"), "bfloat16")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (config("linear", *HALVES, base=None), WeightAveraging((0.5, 0.5))),
        (config("linear", base=None, weight=2), WeightAveraging((2.0, 2.0))),
        (config("linear", *HALVES, base=None, normalize=False), WeightAveraging((0.5, 0.5))),
        (config("task_arithmetic", *HALVES), TaskArithmetic(1.0, (0.5, 0.5))),
        (config("task_arithmetic", {"weight": 1}, {"weight": -1}), TaskArithmetic(1.0, (1.0, -1.0))),
        (config("task_arithmetic", *HALVES, normalize=True), TaskArithmetic(1.0, (0.5, 0.5), normalize=True)),
        (config("ties", *HALVES), Ties(1.0, 1.0, (0.5, 0.5), per_tensor=True)),
        (config("ties", weight=[{"value": 1}], density=0.2), Ties(0.2, 1.0, (1.0, 1.0), per_tensor=True)),
        (config("dare_linear", *HALVES, density=0.4), Dare(0.4, rescale="l1", weights=(0.5, 0.5))),
        (config("dare_linear", weight=1, normalize=True, rescale=False), Dare(1.0, rescale="none", weights=(0.5, 0.5))),
        (config("dare_ties", *HALVES, normalize=True), DareTies(1.0, rescale="l1", weights=(0.5, 0.5))),
        (config("breadcrumbs", *HALVES, density=0.9), Breadcrumbs(0.9, 0.01, 1.0, (0.5, 0.5))),
        (config("breadcrumbs", *HALVES), Breadcrumbs(1.0, 0.0, 1.0, (0.5, 0.5))),
        (config("model_stock"), ModelStock()),
    ],
)
def test_each_shared_method(content: dict[str, Any], expected: Any) -> None:
    plan = parse_mergekit_config(content)
    assert plan == MergePlan(expected, content.get("base_model", "one"), ("one", "two"))


@pytest.mark.parametrize("base", ["one", "two"])
def test_slerp_goes_from_the_base_to_the_other(base: str) -> None:
    plan = parse_mergekit_config(config("slerp", base=base, t=0.25))
    assert (plan.method, plan.base) == (Slerp(0.25), base)
    assert plan.models == ((base, "two") if base == "one" else (base, "one"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"slices": []}, "has 'slices', which is not read here. Run mergekit itself"),
        (config("sce"), "merge_method is 'sce', and shared are linear, task_arithmetic, ties, dare_linear"),
        ({**config("linear"), "models": []}, r"models is \[\], and must be a list of models"),
        ({**config("linear"), "models": ["one"]}, "'one' is no model: give the keys model"),
        ({**config("linear"), "models": [{"model": "a+b"}]}, "'a\\+b' adds a LoRA to a model"),
        ({**config("linear"), "tokenizer_source": "union"}, "tokenizer_source is 'union', and only 'base' is read"),
        ({**config("linear", weight=1), "dtype": "a", "out_dtype": "b"}, "dtype and out_dtype are a and b; give one"),
        (config("linear", base=None), "one has no weight; give one in its parameters or for all models"),
        (config("linear", weight=1), "base is the base_model and has no weight"),
        (config("linear", weight=1, base=None, normalize=False), "normalize is off and the weights add up to 2.0"),
        (config("ties", base=None, weight=1), "TIES needs a base_model, and the configuration names none"),
        (config("ties", weight=1, normalize=False), "normalize is False here, and only True is shared"),
        (config("dare_ties", weight=1), "normalize is False here, and only True is shared"),
        (
            config("ties", {"density": 0.1}, {"density": 0.2}, weight=1),
            "density is 0.1 and 0.2, and must be one number",
        ),
        (config("ties", weight=[0, 1]), r"weight is \[0, 1\], and only one number for all tensors"),
        (config("ties", weight=[{"filter": "mlp", "value": 1}]), "weight is .*mlp.*, and only one number for all"),
        (config("ties", weight=1, epsilon=0.1), "The parameter 'epsilon' is not shared"),
        (config("ties", weight=1, density=2), "density is 2, and must be above 0 and at most 1"),
        (config("slerp", base="one"), "t is None, and must be one number for all models"),
        (config("slerp", base=None, t=0.5), "SLERP goes from the base_model to the other model"),
        (config("model_stock", filter_wise=True), "filter_wise is True here, and only False is shared"),
        ({**config("linear"), "parameters": [1]}, r"parameters are \[1\], and must be names with values"),
    ],
)
def test_refuses_what_is_not_shared(content: dict[str, Any], message: str) -> None:
    with pytest.raises(MergeError, match=message):
        parse_mergekit_config(content)


def test_refuses_what_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("a: [")
    with pytest.raises(MergeError, match=r"a.yml is no YAML \(while parsing"):
        read_mergekit_config(tmp_path / "a.yml")
    (tmp_path / "a.yml").write_text("- a")
    with pytest.raises(MergeError, match="a.yml is no configuration of mergekit"):
        read_mergekit_config(tmp_path / "a.yml")
    with pytest.raises(InvalidCheckpointError, match="b.yml cannot be read"):
        read_mergekit_config(tmp_path / "b.yml")


def test_refuses_another_dtype_than_the_bases(tmp_path: Path) -> None:
    base = write_single(tmp_path / "base", {"w": torch.zeros(2, dtype=torch.bfloat16), "ids": torch.arange(2)})
    plan = parse_mergekit_config({**config("ties", weight=1), "dtype": "bfloat16"})
    plan.check_dtype(base)
    plan = parse_mergekit_config({**config("ties", weight=1), "dtype": "float16"})
    with pytest.raises(MergeError, match="asks for float16 and 'w' of the base is bfloat16"):
        plan.check_dtype(base)
