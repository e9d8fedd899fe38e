"""Sources and calls that cannot be: one clear sentence, nothing left behind, the source unchanged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mergeguard_hub import errors
from mergeguard_hub.protection import Recipe, UnitScaling
from mergeguard_hub.release import SIDECAR, protect_folder
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.damage import NAME, Change, fill, truncate, with_json, with_weights
from tests.release.releases import KEY, fine_tuned


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tiny.save(fine_tuned("llama"), tmp_path / "place/raw")


BAD_SOURCES: dict[str, tuple[Change, type[Exception], str]] = {
    "nan": (fill(float("nan")), errors.NonFiniteWeightsError, rf"{NAME} in model.safetensors holds NaN or inf"),
    "infinity": (fill(float("-inf")), errors.NonFiniteWeightsError, rf"{NAME} in model.safetensors holds NaN or inf"),
    "nan in float8": (
        with_weights(lambda tensors: tensors.update(scale=torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn))),
        errors.NonFiniteWeightsError,
        "scale in model.safetensors holds NaN or inf",
    ),
    "truncated": (truncate, errors.InvalidCheckpointError, "model.safetensors"),
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        errors.MissingFileError,
        "holds no weights",
    ),
    "weights twice": (
        lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"),
        errors.UnsupportedFormatError,
        "pytorch_model.bin",
    ),
    "unknown class": (
        with_json("config.json", lambda c: c.update(architectures=["NoSuchModel"], model_type="no_such")),
        errors.UnknownArchitectureError,
        r"architectures \['NoSuchModel'\] and model_type 'no_such'",
    ),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        errors.UnknownArchitectureError,
        "names architectures None",
    ),
    "fewer layers than its config": (
        with_json("config.json", lambda config: config.update(num_hidden_layers=3)),
        errors.VerificationError,
        "Does the original hold every weight that its configuration asks for",
    ),
    "a billion layers": (
        with_json("config.json", lambda config: config.update(num_hidden_layers=10**9)),
        errors.ArchitectureError,
        "1000000000 layers are more than any model has",
    ),
    "renamed weights": (
        with_weights(lambda t: [t.update({f"mine.{name}": t.pop(name)}) for name in list(t)]),
        errors.UnprovedLayoutError,
        "so nothing was protected.*were these weights renamed",
    ),
    "a key among the files": (
        lambda folder: shutil.copyfile(KEY.save(folder / "owner.mgkey"), folder / "notes.json"),
        errors.KeyFileError,
        r"raw holds the key file (owner.mgkey|notes.json), and everything in that folder is copied and published",
    ),
    "a damaged record": (
        lambda folder: (folder / SIDECAR).write_text("{"),
        errors.InvalidCheckpointError,
        "mergeguard.json is not readable JSON",
    ),
    "a record of the future": (
        lambda folder: (folder / SIDECAR).write_text('{"version": 2}'),
        errors.InvalidCheckpointError,
        "has format version 2, this package reads 1; update",
    ),
    "a record of something else": (
        lambda folder: (folder / SIDECAR).write_text('{"version": 1, "id": "x"}'),
        errors.InvalidCheckpointError,
        "no whole release record: its 'digest' is None",
    ),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_bad_sources_are_refused(raw: Path, tmp_path: Path, key_folder: Path, case: str) -> None:
    """No target, no key that was made for nothing, the source as it was."""
    change, kind, message = BAD_SOURCES[case]
    change(raw)
    before = snapshot(tmp_path)
    with pytest.raises(kind, match=message):
        protect_folder(raw, tmp_path / "place/release")
    assert snapshot(tmp_path) == before
    assert sorted(os.listdir(tmp_path / "place")) == ["raw"]
    assert [file for file in key_folder.rglob("*") if file.is_file()] == []


BAD_CALLS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "preset": ({"recipe": "exakt"}, errors.RecipeError, "no preset 'exakt'; choose one of exact, params, mergelock"),
    "nothing to do": (
        {"recipe": Recipe([UnitScaling()]), "source": "gpt2"},
        errors.UnprovedLayoutError,
        "no stage of the recipe 'custom' could be proved, so nothing was protected. GPT2LMHeadModel: ",
    ),
    "no base": ({"recipe": "params", "base": "nowhere"}, errors.BaseModelError, "no base model folder at .*nowhere"),
    "base of another shape": (
        {"recipe": "params", "base": "wide"},
        errors.BaseModelError,
        r"mlp.(gate|up|down)_proj.weight has shape \[.*56.*\], in the base model \[.*64.*\]",
    ),
    "base with other names": (
        {"recipe": "params", "base": "gpt2"},
        errors.BaseModelError,
        "has no tensor model.layers",
    ),
    "base that is a pipeline": (
        {"recipe": "params", "base": "pipeline"},
        errors.BaseModelError,
        "pipeline is a pipeline of text_encoder, the fine-tuned one is a model folder",
    ),
    "base that is broken": ({"recipe": "params", "base": "broken"}, errors.BaseModelError, "base model holds NaN"),
    "target in source": ({"target": "raw/release"}, errors.TargetError, "raw"),
    "target around source": ({"target": "."}, errors.TargetError, "place"),
    "target that is the base": (
        {"recipe": "params", "base": "gpt2", "target": "gpt2", "replace": True},
        errors.TargetError,
        "gpt2",
    ),
    "full target": ({"target": "gpt2"}, errors.TargetError, "gpt2"),
    "key in source": ({"key": "raw/owner.mgkey"}, errors.KeyFileError, "raw"),
    "key in target": ({"key": "release/owner.mgkey"}, errors.KeyFileError, "release"),
    "encrypted key": ({"key": "sealed.mgkey"}, errors.PassphraseError, "is encrypted; give its passphrase"),
}


def _furnish(place: Path) -> None:
    tiny.save(tiny.gpt2(), place / "gpt2")
    tiny.save(tiny.llama(intermediate_size=64), place / "wide")
    fill(float("nan"))(tiny.save(tiny.llama(), place / "broken"))
    tiny.save(tiny.clip_text(), place / "pipeline/text_encoder")
    index = {"_class_name": "Pipe", "text_encoder": ["transformers", "CLIPTextModel"]}
    (place / "pipeline/model_index.json").write_text(json.dumps(index))
    KEY.save(place / "sealed.mgkey", passphrase="long enough words")


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_refused(raw: Path, tmp_path: Path, key_folder: Path, case: str) -> None:
    given, kind, message = BAD_CALLS[case]
    place = raw.parent
    _furnish(place)
    paths = {name: place / given[name] for name in ("source", "target", "base", "key") if name in given}
    call = {"source": raw, "target": place / "release", **given, **paths}
    before = snapshot(tmp_path)
    with pytest.raises(kind, match=message):
        protect_folder(**call)
    assert snapshot(tmp_path) == before
    assert [name for name in os.listdir(place) if name.startswith(".") or name == "release"] == []
    assert [file for file in key_folder.rglob("*") if file.is_file()] == []
