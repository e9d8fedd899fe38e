"""A release that is loaded and saved again is not protected twice, however it was loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from mergeguard_hub.hub import enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.hub import zoo

KEY = Key(bytes(range(32)))


def _record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "mergeguard.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("place", ["out", "elsewhere"])
def test_loaded_without_its_claim(place: str, tmp_path: Path) -> None:
    """Only the tensors were loaded, so no config.json says that they are of a release."""
    zoo.guarded_llama().save_pretrained(tmp_path / "out", key=KEY)
    before = snapshot(tmp_path / "out")
    model = zoo.guarded_llama()
    model.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"))
    model.save_pretrained(tmp_path / place, key=KEY)
    assert snapshot(tmp_path / place) == before


def test_more_training_of_a_live_model_records_the_parent(tmp_path: Path) -> None:
    model = zoo.guarded_llama()
    model.save_pretrained(tmp_path / "out", key=KEY)
    first = _record(tmp_path / "out")["digest"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.save_pretrained(tmp_path / "out", key=KEY)
    assert _record(tmp_path / "out")["parent"] == first
    model.save_pretrained(tmp_path / "out", key=Key.generate())
    assert _record(tmp_path / "out")["parent"] is None


def test_a_diffusers_model_that_was_loaded_by_a_path(tmp_path: Path) -> None:
    enable(tiny.unet(), key=KEY).save_pretrained(tmp_path / "out")
    loaded = enable(UNet2DConditionModel.from_pretrained(tmp_path / "out"), key=KEY)
    loaded.save_pretrained(tmp_path / "again")
    assert _record(tmp_path / "again") == _record(tmp_path / "out")
