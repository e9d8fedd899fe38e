"""Attacks on folders: the same as on mappings, in a tensor's memory, and nothing of the release is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mergeguard_hub.attacks import ATTACKS, Alignment, Knowledge, Rounding, attack_folder
from mergeguard_hub.errors import AttackError, TargetError
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.attacks.scenes import apart
from tests.checkpoint.folders import snapshot
from tests.release.releases import KEY, fine_tuned, weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("attack")
    tiny.save(tiny.llama(), place / "base")
    tiny.save(fine_tuned("llama", step=0.02), place / "raw")
    protect_folder(place / "raw", place / "release", recipe="exact", key=KEY, verify=False)
    return place


def test_a_release_is_undone_to_the_bit(folders: Path, tmp_path: Path) -> None:
    """Nothing but the two public folders goes in; what comes out is the unprotected model."""
    before = snapshot(folders / "release")
    attack_folder(Alignment(), folders / "release", folders / "base", tmp_path / "attacked")
    attacked, original = weights(tmp_path / "attacked"), weights(folders / "raw")
    assert all(torch.equal(attacked[name], original[name]) for name in original)
    assert snapshot(folders / "release") == before
    assert not (tmp_path / "attacked" / "mergeguard.json").exists()
    assert "mergeguard" not in json.loads((tmp_path / "attacked" / "config.json").read_text())
    model = tiny.load(tiny.llama(), tmp_path / "attacked")
    expected = tiny.outputs(tiny.load(tiny.llama(), folders / "raw"))["logits"]
    assert torch.equal(tiny.outputs(model)["logits"], expected)


def test_other_attacks_write_what_they_return(folders: Path, tmp_path: Path) -> None:
    attack_folder(Rounding(bits=4), folders / "release", folders / "base", tmp_path / "attacked")
    release = weights(folders / "release")
    expected = Rounding(bits=4).apply(release, base=release, knowledge=Knowledge())
    found = weights(tmp_path / "attacked")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert apart(release["lm_head.weight"], found["lm_head.weight"]) > 0.01


def test_a_failed_attack_leaves_nothing(folders: Path, tmp_path: Path) -> None:
    tiny.save(tiny.llama(hidden_size=48), tmp_path / "wide")
    for name in ("alignment", "rounding"):
        with pytest.raises(AttackError, match="in the release and .* in the base"):
            attack_folder(ATTACKS[name](), folders / "release", tmp_path / "wide", tmp_path / "attacked")
        assert not (tmp_path / "attacked").exists()


def test_the_target_must_be_new(folders: Path) -> None:
    with pytest.raises(TargetError):
        attack_folder(Rounding(), folders / "release", folders / "base", folders / "raw")
