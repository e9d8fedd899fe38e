"""Models on disk as an audit sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mergeguard_hub.audit.model_folder import ModelFolder, tuned_components, weights_digest
from mergeguard_hub.errors import AuditError
from space.zoo.vision.family import WEIGHTS
from tests.audit.grids import release

IMAGES = WEIGHTS.parent.parent / "images" / "weights"


def test_weights_are_written_and_loaded_as_anybody_would(tmp_path: Path) -> None:
    folder = ModelFolder(WEIGHTS / "base")
    weights = {name: tensor * 2 for name, tensor in folder.tensors().items()}
    folder.write(weights, tmp_path / "twice")
    assert weights_digest(ModelFolder(tmp_path / "twice").tensors()) == weights_digest(weights)
    with folder.loaded_with(weights) as model:
        own = dict(model.named_parameters())
        assert torch.equal(own["classifier.bias"], weights["classifier.bias"].float())
        assert type(model).__name__ == "ViTForImageClassification"


def test_what_is_not_given_is_the_models_own(tmp_path: Path) -> None:
    folder = ModelFolder(WEIGHTS / "base")
    name = "classifier.bias"
    folder.write({name: torch.zeros_like(folder.tensors()[name])}, tmp_path / "model")
    found = ModelFolder(tmp_path / "model").tensors()
    changed = [key for key, tensor in folder.tensors().items() if not torch.equal(tensor, found[key])]
    assert changed == [name]


def test_a_copy_of_a_release_claims_nothing(tmp_path: Path) -> None:
    folder = ModelFolder(release(tmp_path))
    folder.write({}, tmp_path / "copy")
    assert "mergeguard" in json.loads((tmp_path / "release" / "config.json").read_text())
    assert "mergeguard" not in json.loads((tmp_path / "copy" / "config.json").read_text())
    assert not (tmp_path / "copy" / "mergeguard.json").exists()


def test_a_free_rider_merges_what_fine_tuning_changes() -> None:
    base = ModelFolder(IMAGES / "base")
    assert tuned_components(base, ModelFolder(IMAGES / "styles")) == ("text_encoder", "unet")
    assert set(base.components) == {"text_encoder", "unet", "vae"}
    with pytest.raises(AuditError, match="has the weights of the base"):
        tuned_components(base, base)
    with pytest.raises(AuditError, match=r"has the components \[''\]"):
        tuned_components(base, ModelFolder(WEIGHTS / "base"))


def test_the_digest_is_that_of_the_weights() -> None:
    tensors = ModelFolder(WEIGHTS / "base").tensors()
    other = {**tensors, "classifier.bias": tensors["classifier.bias"] + 1}
    assert weights_digest(tensors) == weights_digest(dict(reversed(tensors.items())))
    assert weights_digest(tensors) != weights_digest(other)
