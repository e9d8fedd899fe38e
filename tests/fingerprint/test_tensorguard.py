"""TensorGuard equals its paper-literal reference, and knows shapes rather than weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mergeguard_hub import protect_folder
from mergeguard_hub.checkpoint import Checkpoint, CheckpointTensors
from mergeguard_hub.errors import FingerprintError, MissingFileError
from mergeguard_hub.fingerprint import FEATURES, TensorGuard
from mergeguard_hub.fingerprint.gradient_response import response
from space.zoo.vision.family import WEIGHTS
from tests import tiny
from tests.reference import tensorguard as reference

FAMILIES = ("llama", "gemma2", "gpt2", "bert", "vit", "flan_t5", "phi3")


def tensors_of(family: str, seed: int = 0, **overrides: object) -> dict[str, Tensor]:
    model = getattr(tiny, family)(seed=seed, **overrides)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def features(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    return dict(zip(FEATURES, TensorGuard().fingerprint_tensors(tensors).values, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_equals_the_reference(family: str) -> None:
    tensors = tensors_of(family)
    found, expected = features(tensors), reference.fingerprint(tensors)
    assert set(expected) <= set(FEATURES)
    for name in FEATURES:
        assert found[name] == pytest.approx(expected.get(name, 0.0), rel=1e-4, abs=2e-6), name


def test_layers_from_the_seventeenth_on_are_not_read() -> None:
    tensors = tensors_of("llama", num_hidden_layers=18)
    found = TensorGuard().fingerprint_tensors(tensors)
    assert features(tensors)["global_kurtosis"] == pytest.approx(reference.fingerprint(tensors)["global_kurtosis"])
    deep = {name for name in tensors if name.startswith(("model.layers.16.", "model.layers.17."))}
    assert deep
    assert not deep & set(found.tensors)
    changed = {name: tensor * 0 if name in deep else tensor for name, tensor in tensors.items()}
    assert TensorGuard().fingerprint_tensors(changed) == found


def test_a_large_matrix_differs_from_the_reference_by_its_sampling_error() -> None:
    """The reference takes skewness and kurtosis of 500,000 of 1,100,000 entries, this of all."""
    tensors = {"mlp.weight": torch.randn(1000, 1100, generator=torch.Generator().manual_seed(5))}
    found = TensorGuard(samples=1).fingerprint_tensors(tensors)
    expected = reference.fingerprint(tensors, samples=1)
    values = dict(zip(FEATURES, found.values, strict=True))
    assert values["global_std"] == pytest.approx(expected["global_std"], rel=1e-5)
    assert values["global_skewness"] == pytest.approx(expected["global_skewness"], abs=0.05)
    assert values["global_kurtosis"] == pytest.approx(expected["global_kurtosis"], abs=0.2)


@pytest.mark.parametrize(("x", "y"), [([3.0, 4.0], [0.0, 0.0]), ([1.0, 1.0], [2.0, 2.0])])
def test_a_gradient_that_does_not_vary_has_no_shape(x: list[float], y: list[float]) -> None:
    mean, std, norm, skewness, kurtosis = response(torch.tensor(x), torch.tensor(y))
    assert (std, skewness, kurtosis) == (0.0, 0.0, 0.0)
    assert mean == pytest.approx(0.0 if y[0] == 0 else 0.5**0.5)
    assert norm == pytest.approx(0.0 if y[0] == 0 else 2**0.5)


def test_the_norm_is_that_of_the_input_whatever_the_weights_are() -> None:
    x, generator = torch.tensor([3.0, 4.0]), torch.Generator().manual_seed(0)
    for gain in (1e-3, 1.0, 1e3):
        assert response(x, gain * torch.randn(7, generator=generator))[2] == pytest.approx(5.0)


def test_random_weights_of_the_same_shapes_have_nearly_the_same_fingerprint() -> None:
    """The control: of a trained model nothing is left but its shapes, and the fingerprint hardly moves."""
    trained = CheckpointTensors(Checkpoint.open(Path("space/zoo/language/weights/base").resolve()))
    generator = torch.Generator().manual_seed(1)
    drawn = {name: 0.02 * torch.randn(tensor.shape, generator=generator) for name, tensor in trained.items()}
    found, control = features(trained), features(drawn)
    other = features(CheckpointTensors(Checkpoint.open(WEIGHTS / "base")))
    for name in FEATURES:
        if name.endswith(("_norm", "_std")):
            assert control[name] == pytest.approx(found[name], rel=0.01), name
            assert other[name] != pytest.approx(found[name], rel=0.05), name


def test_folders_and_their_protected_copies(tmp_path: Path) -> None:
    """A folder is read as its tensors are; sharding changes nothing, protecting next to nothing."""
    model = tiny.llama(hidden_size=64, intermediate_size=96)
    whole, cut = tiny.save(model, tmp_path / "whole"), tiny.save(model, tmp_path / "cut", max_shard_size="20KB")
    assert len(list(cut.glob("*.safetensors"))) > 1
    found = TensorGuard().fingerprint(whole)
    assert TensorGuard().fingerprint(cut).values == pytest.approx(found.values, rel=1e-5, abs=1e-6)
    protect_folder(whole, tmp_path / "release", key=tmp_path / "k.mgkey")
    released = TensorGuard().fingerprint(tmp_path / "release")
    assert released.values != found.values
    norms = [number for number, name in enumerate(FEATURES) if name.endswith(("_norm", "_std"))]
    assert [released.values[n] for n in norms] == pytest.approx([found.values[n] for n in norms], rel=0.02)


def test_what_cannot_be_described_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FingerprintError, match="samples=0"):
        TensorGuard(samples=0)
    save_file({"norm.weight": torch.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(FingerprintError, match=r"no floating-point matrix.*Is this a model's folder"):
        TensorGuard().fingerprint(tmp_path)
    save_file({"a.weight": torch.full((3, 4), float("nan"))}, tmp_path / "model.safetensors")
    with pytest.raises(FingerprintError, match=r"a.weight answers with NaN.*Repair"):
        TensorGuard().fingerprint(tmp_path)
    with pytest.raises(MissingFileError, match="does not exist"):
        TensorGuard().fingerprint(tmp_path / "nowhere")
