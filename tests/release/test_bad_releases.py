"""Releases that are not what they were: not unlocked, and seen by verifying."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub import errors
from mergeguard_hub.protection import HeadMix
from mergeguard_hub.release import SIDECAR, protect_folder, unlock_folder, verify_folder
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.damage import NAME, Change, with_json, with_weights
from tests.release.releases import KEY, OTHER_KEY, fine_tuned


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tiny.save(fine_tuned("llama"), tmp_path / "place/raw")


@pytest.fixture
def release(raw: Path, tmp_path: Path) -> Path:
    protect_folder(raw, tmp_path / "place/release", key=KEY)
    return tmp_path / "place/release"


def _edit_claims(record: dict[str, Any]) -> None:
    record["components"][""]["draft"]["proof"]["proved"][0]["claims"] = []


BAD_RELEASES: dict[str, tuple[Change, type[Exception], str]] = {
    "unprotected": (
        lambda folder: (folder / SIDECAR).unlink(),
        errors.NotProtectedError,
        "has no mergeguard.json: it is not protected, or the file was left out",
    ),
    "modified weights": (
        with_weights(lambda tensors: tensors[NAME].view(-1)[7:8].add_(1.0)),
        errors.ModifiedReleaseError,
        "are not those that were released .digest sha256:.*cannot be unlocked",
    ),
    "a tensor gone": (
        with_weights(lambda tensors: tensors.pop(NAME)),
        errors.ModifiedReleaseError,
        "are not those that were released",
    ),
    "modified bounds": (
        with_json(SIDECAR, lambda r: r["components"][""]["draft"]["bounds"].update({"model.layers.0.mlp/units": 1})),
        errors.ModifiedReleaseError,
        "mergeguard.json of release .* was edited after the release was made",
    ),
    "modified recipe": (
        with_json(SIDECAR, lambda r: r["recipe"]["stages"].pop()),
        errors.ModifiedReleaseError,
        "was edited",
    ),
    "modified proof": (with_json(SIDECAR, _edit_claims), errors.ModifiedReleaseError, "was edited"),
    "modified digest": (
        with_json(SIDECAR, lambda r: r.update(digest="sha256:" + "0" * 64)),
        errors.ModifiedReleaseError,
        "was edited",
    ),
    "a component gone": (
        with_json(SIDECAR, lambda r: r.update(components={})),
        errors.ModifiedReleaseError,
        "was edited",
    ),
    "no seal": (with_json(SIDECAR, lambda r: r.pop("seal")), errors.ModifiedReleaseError, "was edited"),
    "an odd seal": (with_json(SIDECAR, lambda r: r.update(seal=["é"])), errors.ModifiedReleaseError, "was edited"),
    "cut record": (
        with_json(SIDECAR, lambda r: r.pop("recipe")),
        errors.InvalidCheckpointError,
        "no whole release record: its 'recipe' is None",
    ),
    "stages that are none": (  # the seal does not cover them
        with_json(SIDECAR, lambda r: r.update(stages=[1])),
        errors.InvalidCheckpointError,
        "is no whole release record",
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
    with_json(SIDECAR, lambda record: record.update(audit={"accuracy": 0.5}))(release)
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
    with_weights(lambda tensors: tensors[NAME].view(-1)[7:8].add_(1.0))(release)
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
    with_json("config.json", lambda c: c.update(architectures=["Mine"], model_type="mine"))(custom)
    with pytest.raises(errors.VerificationError, match=r"outputs of .*custom cannot be compared: config.json names"):
        verify_folder(release, against=custom)
