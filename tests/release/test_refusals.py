"""Bad input: one clear sentence, nothing left behind, the source unchanged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergeguard_hub import errors
from mergeguard_hub.protection import HeadMix, Key, NormAbsorption, Recipe, UnitScaling
from mergeguard_hub.release import SIDECAR, protect_folder, unlock_folder, verify_folder, work
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.releases import KEY, OTHER_KEY, fine_tuned

Change = Callable[[Path], None]
NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tiny.save(fine_tuned("llama"), tmp_path / "place/raw")


@pytest.fixture
def release(raw: Path, tmp_path: Path) -> Path:
    protect_folder(raw, tmp_path / "place/release", key=KEY)
    return tmp_path / "place/release"


def _with_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def _with_json(file: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        change(content)
        (folder / file).write_text(json.dumps(content))

    return apply


def _fill(value: float) -> Change:
    return _with_weights(lambda tensors: tensors[NAME].view(-1)[7:8].fill_(value))


def _truncate(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(5000)


BAD_SOURCES: dict[str, tuple[Change, type[Exception], str]] = {
    "nan": (_fill(float("nan")), errors.NonFiniteWeightsError, rf"{NAME} in model.safetensors holds NaN or inf"),
    "infinity": (_fill(float("-inf")), errors.NonFiniteWeightsError, rf"{NAME} in model.safetensors holds NaN or inf"),
    "truncated": (_truncate, errors.InvalidCheckpointError, "model.safetensors"),
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
        _with_json("config.json", lambda c: c.update(architectures=["NoSuchModel"], model_type="no_such")),
        errors.UnknownArchitectureError,
        r"architectures \['NoSuchModel'\] and model_type 'no_such'",
    ),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        errors.UnknownArchitectureError,
        "names architectures None",
    ),
    "renamed weights": (
        _with_weights(lambda t: [t.update({f"mine.{name}": t.pop(name)}) for name in list(t)]),
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
    _fill(float("nan"))(tiny.save(tiny.llama(), place / "broken"))
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


def _edit_claims(record: dict[str, Any]) -> None:
    record["components"][""]["draft"]["proof"]["proved"][0]["claims"] = []


BAD_RELEASES: dict[str, tuple[Change, type[Exception], str]] = {
    "unprotected": (
        lambda folder: (folder / SIDECAR).unlink(),
        errors.NotProtectedError,
        "has no mergeguard.json: it is not protected, or the file was left out",
    ),
    "modified weights": (
        _with_weights(lambda tensors: tensors[NAME].view(-1)[7:8].add_(1.0)),
        errors.ModifiedReleaseError,
        "are not those that were released .digest sha256:.*cannot be unlocked",
    ),
    "a tensor gone": (
        _with_weights(lambda tensors: tensors.pop(NAME)),
        errors.ModifiedReleaseError,
        "are not those that were released",
    ),
    "modified bounds": (
        _with_json(SIDECAR, lambda r: r["components"][""]["draft"]["bounds"].update({"model.layers.0.mlp/units": 1})),
        errors.ModifiedReleaseError,
        "mergeguard.json of release .* was edited after the release was made",
    ),
    "modified recipe": (
        _with_json(SIDECAR, lambda r: r["recipe"]["stages"].pop()),
        errors.ModifiedReleaseError,
        "was edited",
    ),
    "modified proof": (_with_json(SIDECAR, _edit_claims), errors.ModifiedReleaseError, "was edited"),
    "modified digest": (
        _with_json(SIDECAR, lambda r: r.update(digest="sha256:" + "0" * 64)),
        errors.ModifiedReleaseError,
        "was edited",
    ),
    "a component gone": (
        _with_json(SIDECAR, lambda r: r.update(components={})),
        errors.ModifiedReleaseError,
        "was edited",
    ),
    "no seal": (_with_json(SIDECAR, lambda r: r.pop("seal")), errors.ModifiedReleaseError, "was edited"),
    "an odd seal": (_with_json(SIDECAR, lambda r: r.update(seal=["é"])), errors.ModifiedReleaseError, "was edited"),
    "cut record": (
        _with_json(SIDECAR, lambda r: r.pop("recipe")),
        errors.InvalidCheckpointError,
        "no whole release record: its 'recipe' is None",
    ),
    "a list": (
        lambda folder: (folder / SIDECAR).write_text("[]"),
        errors.InvalidCheckpointError,
        "is not a release record",
    ),
}


@pytest.mark.parametrize("case", BAD_RELEASES)
def test_bad_releases_are_not_unlocked(release: Path, tmp_path: Path, case: str) -> None:
    change, kind, message = BAD_RELEASES[case]
    change(release)
    before = snapshot(tmp_path)
    with pytest.raises(kind, match=message):
        unlock_folder(release, tmp_path / "place/unlocked", key=KEY)
    assert snapshot(tmp_path) == before
    assert sorted(os.listdir(tmp_path / "place")) == ["raw", "release"]


def test_what_readers_add_to_a_record_does_not_break_its_seal(release: Path, tmp_path: Path) -> None:
    _with_json(SIDECAR, lambda record: record.update(audit={"accuracy": 0.5}))(release)
    unlock_folder(release, tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == snapshot(tmp_path / "place/raw")


def test_unlocking_with_wrong_keys_and_into_bad_targets(release: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.WrongKeyError, match=rf"with key {KEY.id}, the given key is {OTHER_KEY.id}"):
        unlock_folder(release, tmp_path / "unlocked", key=OTHER_KEY)
    with pytest.raises(errors.KeyFileError, match="nowhere"):
        unlock_folder(release, tmp_path / "unlocked", key=tmp_path / "nowhere.mgkey")
    sealed = KEY.save(tmp_path / "sealed.mgkey", passphrase="long enough words")
    with pytest.raises(errors.PassphraseError, match="passphrase"):
        unlock_folder(release, tmp_path / "unlocked", key=sealed)
    with pytest.raises(errors.TargetError, match="release"):
        unlock_folder(release, release / "unlocked", key=KEY)
    assert not (tmp_path / "unlocked").exists()
    unlock_folder(release, tmp_path / "unlocked", key=sealed, passphrase="long enough words")
    assert snapshot(tmp_path / "unlocked") == snapshot(tmp_path / "place/raw")


def test_unlocking_a_release_of_another_version(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions drawn in another way are noticed before a weight is written."""
    draw = HeadMix.draw
    monkeypatch.setattr(HeadMix, "draw", lambda self, space, stream, facts: draw(self, space, KEY.stream("x"), facts))
    with pytest.raises(
        errors.ModifiedReleaseError, match="are not those of the release. It was made by another version"
    ):
        unlock_folder(release, tmp_path / "unlocked", key=KEY)
    assert not (tmp_path / "unlocked").exists()


def test_verify_states(release: Path, raw: Path, tmp_path: Path) -> None:
    assert verify_folder(raw).state == "not protected"
    assert verify_folder(release).state == "protected"
    (release / SIDECAR).unlink()
    assert verify_folder(release).state == "protected"
    _with_weights(lambda tensors: tensors[NAME].view(-1)[7:8].add_(1.0))(release)
    found = verify_folder(release, against=raw)
    assert (found.state, found.ok) == ("modified", False)
    assert found.claimed != found.actual
    assert found.drift[""] > found.tolerance[""]
    with pytest.raises(errors.MissingFileError, match="nowhere"):
        verify_folder(tmp_path / "nowhere")
    stranger = verify_folder(release, against=tiny.save(tiny.gpt2(), tmp_path / "gpt2"))
    assert not stranger.ok
    assert stranger.drift[""] > 0.5
    custom = tiny.save(tiny.gpt2(), tmp_path / "custom")
    _with_json("config.json", lambda c: c.update(architectures=["Mine"], model_type="mine"))(custom)
    with pytest.raises(errors.VerificationError, match=r"outputs of .*custom cannot be compared: config.json names"):
        verify_folder(release, against=custom)


def test_a_failed_comparison_leaves_nothing(
    raw: Path, tmp_path: Path, key_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a stage had a mistake: one weight of the release differs."""
    store = work.store

    def spoiled(checkpoint: Any, plan: Any, staged: Any, **settings: Any) -> None:
        store(checkpoint, plan, staged, **settings)
        entry = checkpoint.entries[NAME]
        staged.write(entry, torch.full((8,), 3.0).numpy().data)

    monkeypatch.setattr(work, "store", spoiled)
    before = snapshot(tmp_path)
    with pytest.raises(
        errors.VerificationError, match=r"model.layers.1.mlp answers differently by .* Nothing was writ"
    ):
        protect_folder(raw, tmp_path / "place/release")
    assert snapshot(tmp_path) == before
    assert sorted(os.listdir(tmp_path / "place")) == ["raw"]
    assert [file for file in key_folder.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("phase", ["prove", "protect", "digest", "verify"])
def test_an_interrupt_leaves_nothing(raw: Path, tmp_path: Path, key_folder: Path, phase: str) -> None:
    def interrupt(step: Any) -> None:
        if step.phase == phase and step.done_bytes > 0:
            raise KeyboardInterrupt

    before = snapshot(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        protect_folder(raw, tmp_path / "place/release", workers=2, progress=interrupt)
    assert snapshot(tmp_path) == before
    assert sorted(os.listdir(tmp_path / "place")) == ["raw"]
    assert [file for file in key_folder.rglob("*") if file.is_file()] == []


def test_too_many_factors_on_one_weight_are_refused() -> None:
    recipe = [UnitScaling(), UnitScaling(), NormAbsorption(), NormAbsorption()]
    with pytest.raises(errors.RecipeError, match="4 stages of the recipe scale the same weights by powers of two"):
        Recipe(recipe)
    assert len(Recipe([*recipe[:3], NormAbsorption(max_exponent=0)]).stages) == 4


def test_a_new_key_is_told_once(raw: Path, tmp_path: Path, key_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = protect_folder(raw, tmp_path / "release")
    (made,) = key_folder.iterdir()
    assert [record.getMessage() for record in caplog.records] == [
        f"A new key was made: {made}. Keep a copy: without it nobody, not even you, gets the raw weights back."
    ]
    assert Key.load(made).id == report.key_id
    caplog.clear()
    assert protect_folder(raw, tmp_path / "again").key_id == report.key_id
    assert caplog.records == []
