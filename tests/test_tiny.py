"""The tiny models are what the other tests stand on: they save and load silently, and each weight matters."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests import tiny

families = pytest.mark.parametrize("family", list(tiny.FAMILIES))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@families
def test_saves_and_loads_silently_with_the_same_outputs(
    family: str,
    dtype: torch.dtype,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = tiny.FAMILIES[family](dtype=dtype)
    with caplog.at_level(logging.WARNING):
        loaded = tiny.load(model, tiny.save(model, tmp_path / family))
    expected, found = tiny.outputs(model), tiny.outputs(loaded)
    assert expected
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(found[name], value), name
    assert [record.getMessage() for record in caplog.records] == []
    assert "warn" not in capfd.readouterr().err.lower()


@families
def test_outputs_depend_on_the_input_and_the_seed(family: str) -> None:
    model = tiny.FAMILIES[family]()
    name, first = next(iter(tiny.outputs(model).items()))
    assert not torch.allclose(first, tiny.outputs(model, tiny.example_inputs(model, seed=2))[name])
    assert torch.equal(first, tiny.outputs(tiny.FAMILIES[family]())[name])
    assert not torch.allclose(first, tiny.outputs(tiny.FAMILIES[family](seed=5))[name])


@families
def test_every_weight_matters(family: str) -> None:
    """Each parameter has a gradient; only a key bias has none, where no rotation follows it.

    It adds the same number to every score of a query, which the softmax removes.
    """
    model = tiny.FAMILIES[family]()
    answer = model(**tiny.example_inputs(model))
    generator = torch.Generator().manual_seed(3)
    values = [value for value in answer.values() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    sum((value * torch.randn(value.shape, generator=generator)).sum() for value in values).backward()
    steepest = {name: 0.0 if p.grad is None else float(p.grad.abs().max()) for name, p in model.named_parameters()}
    dead = {name for name, slope in steepest.items() if not slope > 1e-5 * max(steepest.values())}
    assert {name for name in dead if not name.endswith(("key.bias", "k_proj.bias"))} == set()


def test_overrides_and_dtype_reach_the_model() -> None:
    model = tiny.llama(num_key_value_heads=4, tie_word_embeddings=True, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.config.num_key_value_heads == 4
    assert model.lm_head.weight is model.model.embed_tokens.weight


@families
def test_float64_works(family: str) -> None:
    model = tiny.FAMILIES[family](dtype=torch.float64)
    assert {value.dtype for value in tiny.outputs(model).values()} == {torch.float64}
