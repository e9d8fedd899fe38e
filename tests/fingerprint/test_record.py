"""Fingerprints of folders, and their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint import Fingerprint, compare, fingerprint_folder
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.release.releases import KEY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.llama(dtype=torch.bfloat16), tmp_path_factory.mktemp("fingerprint") / "a llama")


@pytest.fixture(scope="module")
def taken(folder: Path) -> Fingerprint:
    return fingerprint_folder(folder)


def test_a_file_holds_everything_and_is_small(taken: Fingerprint, tmp_path: Path) -> None:
    taken.save(tmp_path / "fp.json")
    again = Fingerprint.load(tmp_path / "fp.json")
    again.save(tmp_path / "again.json")
    assert (tmp_path / "fp.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    assert (again.id, again.components, again.name) == (taken.id, taken.components, "a llama")
    assert [form.key for form in again.forms] == [form.key for form in taken.forms]
    assert all(np.array_equal(a.values, b.values) for a, b in zip(again.forms, taken.forms, strict=True))
    assert (tmp_path / "fp.json").stat().st_size < 4_000 * 2 + 4_000
    record = json.loads((tmp_path / "fp.json").read_text())
    assert (record["format"], record["version"], record["probes"]) == ("mergeguard fingerprint", 1, "public")
    assert record["components"][""]["dtype"] == "BF16"


def test_the_name_is_no_part_of_the_id(folder: Path, taken: Fingerprint) -> None:
    assert fingerprint_folder(folder, name="other").id == taken.id
    assert fingerprint_folder(folder, secret="s").id != taken.id


def test_a_release_on_disk_has_the_fingerprint_of_its_original(
    folder: Path, taken: Fingerprint, tmp_path: Path
) -> None:
    protect_folder(folder, tmp_path / "release", recipe="exact", key=KEY)
    found = compare(fingerprint_folder(tmp_path / "release"), taken)
    assert found.kinship == "same"
    assert found.distance < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something"}, "is no fingerprint"),
        ({"version": 2}, "of version 2"),
        ({"components": {"": {}}}, "is damaged"),
        ({"probes": None, "components": 3}, "is damaged"),
    ],
)
def test_other_files_are_refused(taken: Fingerprint, tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "fp.json").write_text(json.dumps({**taken.to_dict(), **change}))
    with pytest.raises(FingerprintError, match=message):
        Fingerprint.load(tmp_path / "fp.json")


@pytest.mark.parametrize("values", ["!", "AAAA", "AADAfwAAwH8="])  # no base64, too short, NaN
def test_damaged_numbers_are_refused(taken: Fingerprint, tmp_path: Path, values: str) -> None:
    record = taken.to_dict()
    record["components"][""]["forms"][0].update(values=values, shape=[1, 2])
    (tmp_path / "fp.json").write_text(json.dumps(record))
    with pytest.raises(FingerprintError, match="is damaged"):
        Fingerprint.load(tmp_path / "fp.json")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("weights")
    with pytest.raises(FingerprintError, match="no JSON"):
        Fingerprint.load(tmp_path / "text")
    with pytest.raises(FingerprintError, match="cannot be read"):
        Fingerprint.load(tmp_path / "nothing")


def test_weights_that_are_no_numbers_are_refused(folder: Path, tmp_path: Path) -> None:
    tiny.save(tiny.llama(), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    state = load_file(file)
    state["model.layers.1.mlp.up_proj.weight"][3, 4] = torch.nan
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(FingerprintError, match=r"layers\.1\.mlp holds NaN"):
        fingerprint_folder(tmp_path / "model")


def test_a_model_of_which_nothing_is_known_is_refused(folder: Path, tmp_path: Path) -> None:
    tiny.save(tiny.llama(), tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "nobody_knows"}')
    with pytest.raises(FingerprintError, match="has no fingerprint"):
        fingerprint_folder(tmp_path / "model")
