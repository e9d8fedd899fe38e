"""Weights beside those that the class has, and weights that pass through: nothing that touches them is moved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergeguard_hub.errors import UnprovedLayoutError
from mergeguard_hub.release import Report, protect_folder
from tests import tiny
from tests.release.releases import KEY


def released(raw: Path, place: Path) -> tuple[Report, dict[str, torch.Tensor]]:
    report = protect_folder(raw, place / "release", key=KEY, verify=False)
    return report, load_file(place / "release" / "model.safetensors")


def test_a_head_that_the_class_does_not_know_reads_the_same_hidden_states(tmp_path: Path) -> None:
    model = tiny.draw(tiny.llama())
    raw = tiny.save(model, tmp_path / "raw")
    stored = load_file(raw / "model.safetensors")
    width = model.config.hidden_size
    save_file({**stored, "v_head.summary.weight": torch.randn(1, width)}, raw / "model.safetensors", {"format": "pt"})
    _, after = released(raw, tmp_path)
    inputs = tiny.example_inputs(model)
    states = model.model(**inputs).last_hidden_state
    model.load_state_dict(after, strict=False)
    torch.testing.assert_close(model.model(**inputs).last_hidden_state, states)


def test_a_mask_of_that_width_reads_no_norm(tmp_path: Path) -> None:
    model = tiny.draw(tiny.llama())
    raw = tiny.save(model, tmp_path / "raw")
    stored, width = load_file(raw / "model.safetensors"), model.config.hidden_size
    mask = {"model.layers.0.self_attn.bias": torch.ones(1, 1, width, width)}
    save_file({**stored, **mask}, raw / "model.safetensors", {"format": "pt"})
    _, after = released(raw, tmp_path)
    norm = "model.layers.0.input_layernorm.weight"
    assert not torch.equal(after[norm], stored[norm])


def with_float8(raw: Path, packed: str) -> Path:
    """Round the matrices with `packed` in their name to float8."""
    stored = load_file(raw / "model.safetensors")
    rounded = {
        name: tensor.to(torch.float8_e4m3fn) if packed in name and tensor.ndim > 1 else tensor
        for name, tensor in stored.items()
    }
    save_file(rounded, raw / "model.safetensors", {"format": "pt"})
    return raw


def test_where_every_matrix_is_float8_there_is_nothing_to_protect(tmp_path: Path) -> None:
    raw = with_float8(tiny.save(tiny.draw(tiny.llama()), tmp_path / "raw"), "proj")
    with pytest.raises(UnprovedLayoutError, match="is float8, which is passed through as it is"):
        released(raw, tmp_path)
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize("packed", ["mlp", "v_proj"])
def test_nothing_moves_around_float8(packed: str, tmp_path: Path) -> None:
    model = tiny.draw(tiny.llama())
    raw = with_float8(tiny.save(model, tmp_path / "raw"), packed)
    before = load_file(raw / "model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in before.items()})
    inputs = tiny.example_inputs(model)
    expected = model(**inputs).logits
    report, after = released(raw, tmp_path)
    assert all(after[name].dtype == tensor.dtype for name, tensor in before.items())
    model.load_state_dict({name: tensor.float() for name, tensor in after.items()})
    torch.testing.assert_close(model(**inputs).logits, expected)
    assert 0 < report.components[0].covered < 0.8
