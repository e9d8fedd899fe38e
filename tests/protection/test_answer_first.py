"""The answer is drawn first, by the documented derivation alone; protecting uses it, and alignment finds it again.

What a key means and what a symmetry protection is worth against a reader who has the base model, both pinned down.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mergeguard_hub.protection import HeadMix, Key, Recipe, ResidualShuffle, UnitRearrangement, UnitScaling
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.release.releases import fine_tuned, weights

SECRET = bytes(range(32))
LAYERS = [f"model.layers.{number}" for number in (0, 1)]
Words = NDArray[np.uint64]


def _words(count: int, *labels: str, skip: int = 0) -> Words:
    """The first words of a stream: SHAKE-256 over (HMAC-SHA-256 of the labels, with their lengths; block number)."""
    message = b"mergeguard stream v1"
    for label in labels:
        message += len(label.encode()).to_bytes(8, "big") + label.encode()
    seed = hmac.new(SECRET, message, hashlib.sha256).digest()
    blocks = b"".join(
        hashlib.shake_256(seed + number.to_bytes(8, "little")).digest(4096)
        for number in range((skip + count) // 512 + 1)
    )
    return np.frombuffer(blocks, dtype="<u8")[skip : skip + count]


def _salt(raw: Path) -> str:
    """What separates models under one key: a keyed hash of the first bytes of every tensor."""
    state = hmac.new(SECRET, b"mergeguard salt v1", hashlib.sha256)
    for name, tensor in sorted(weights(raw).items()):
        stored = tensor.contiguous().view(torch.uint8).numpy().tobytes()[:4096]
        state.update(f"{name}\0F32\0{tuple(tensor.shape)}\0".encode() + stored)
    return state.hexdigest()[:32]


def _permutation(size: int, *labels: str) -> NDArray[np.int64]:
    return np.argsort(_words(size, *labels), kind="stable")


def _signs(size: int, *labels: str) -> NDArray[np.float64]:
    """Signs are drawn after the permutation."""
    return np.where(_words(size, *labels, skip=size) >> np.uint64(63), -1.0, 1.0)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(fine_tuned("llama"), tmp_path_factory.mktemp("llama") / "raw")


@pytest.fixture(scope="module")
def base() -> dict[str, torch.Tensor]:
    return dict(tiny.llama().state_dict())


def _protected(raw: Path, place: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    protect_folder(raw, place / "release", recipe=recipe, key=Key(SECRET))
    return weights(place / "release")


def _matched(ours: torch.Tensor, reference: torch.Tensor) -> NDArray[np.int64]:
    """Which row of `reference` each row of `ours` looks like, one to one, by the angle between them up to sign."""
    rows = [torch.nn.functional.normalize(t.double(), dim=1) for t in (ours, reference)]
    return np.asarray(linear_sum_assignment(-(rows[0] @ rows[1].T).abs().numpy())[1])


def test_hidden_units(raw: Path, base: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """The original finds the permutation exactly, and so does the base model, which everybody has."""
    original, release = weights(raw), _protected(raw, tmp_path, Recipe([UnitRearrangement()]))
    for layer in LAYERS:
        drawn = _permutation(56, "", "0", "UnitRearrangement", f"{layer}.mlp/units", _salt(raw))
        for name, axis in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1)):
            weight = f"{layer}.mlp.{name}.weight"
            assert torch.equal(release[weight], original[weight].index_select(axis, torch.from_numpy(drawn)))
            for reference in (original, base):
                found = _matched(release[weight].movedim(axis, 0), reference[weight].movedim(axis, 0))
                assert found.tolist() == drawn.tolist()


def test_the_residual_stream(raw: Path, base: dict[str, torch.Tensor], tmp_path: Path) -> None:
    original, release = weights(raw), _protected(raw, tmp_path, Recipe([ResidualShuffle()]))
    name = "model.embed_tokens.weight"
    labels = ("", "0", "ResidualShuffle", "hidden_size/residual", _salt(raw))
    drawn, signs = _permutation(32, *labels), torch.from_numpy(_signs(32, *labels)).float()
    assert torch.equal(release[name], original[name][:, drawn] * signs)
    for reference in (original, base):
        assert _matched(release[name].T, reference[name].T).tolist() == drawn.tolist()


def test_signs_and_factors_of_units(raw: Path, base: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """Rows divided by the base's rows show every factor: a power of two lies far from one off by fine-tuning."""
    original, release = weights(raw), _protected(raw, tmp_path, Recipe([UnitScaling()]))
    for layer in LAYERS:
        up = f"{layer}.mlp.up_proj.weight"
        labels = ("", "0", "UnitScaling", f"{layer}.mlp/units", _salt(raw))
        words = _words(56, *labels, skip=112)  # after the permutation and the signs
        assert words.max() < 2**64 - 2**64 % 9
        factors = _signs(56, *labels) * 2.0 ** ((words % np.uint64(9)).astype(np.int64) - 4)
        assert torch.equal(release[up], original[up] * torch.from_numpy(factors).float()[:, None])
        shown = ((release[up] * base[up]).sum(1) / base[up].square().sum(1)).numpy()
        assert np.array_equal(np.sign(shown) * 2.0 ** np.rint(np.log2(np.abs(shown))), factors)


def test_mixes_inside_heads(raw: Path, base: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """Least squares against the original gives the matrix back to rounding, and against the base nearly."""
    original, release = weights(raw), _protected(raw, tmp_path, Recipe([HeadMix(kind="orthogonal")]))
    for layer in LAYERS:
        value = f"{layer}.self_attn.v_proj.weight"
        for head in range(2):
            at = slice(8 * head, 8 * head + 8)
            stream = Key(SECRET).stream("", "0", "HeadMix", f"{layer}.self_attn/values.{head}", _salt(raw))
            rotation, _ = stream.orthogonal(8), stream.uniform(8)  # factors, which are all one for this kind
            drawn = rotation[stream.permutation(8)]
            found = _least_squares(original[value][at], release[value][at])
            near = _least_squares(base[value][at], release[value][at])
            assert np.allclose(found, drawn, atol=1e-5)
            assert np.linalg.norm(near - found) < 0.2 * np.linalg.norm(found)


def _least_squares(before: torch.Tensor, after: torch.Tensor) -> NDArray[np.float64]:
    """The matrix M with after = M before."""
    return np.linalg.lstsq(before.double().T.numpy(), after.double().T.numpy(), rcond=None)[0].T


def test_one_key_draws_other_actions_for_another_model(raw: Path, tmp_path: Path) -> None:
    """Else two releases of one publisher would merge with each other."""
    other = tiny.save(tiny.llama(), tmp_path / "other")
    recipe = Recipe([UnitRearrangement()])
    name = "model.layers.0.mlp.up_proj.weight"
    found = []
    for number, source in enumerate((raw, other)):
        place = tmp_path / str(number)
        found.append(_matched(_protected(source, place, recipe)[name], weights(source)[name]))
    assert np.count_nonzero(found[0] == found[1]) < 10
    assert found[0].tolist() != found[1].tolist()
