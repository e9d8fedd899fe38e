"""Runs that fail or are interrupted leave nothing, and a key that was made is told only if it is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.errors import VerificationError
from mergeguard_hub.protection import Key
from mergeguard_hub.release import protect_folder, work
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.damage import NAME
from tests.release.releases import fine_tuned


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tiny.save(fine_tuned("llama"), tmp_path / "place/raw")


def test_a_failed_comparison_leaves_nothing(
    raw: Path, tmp_path: Path, key_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a stage had a mistake: one weight of the release differs."""
    store = work.store

    def spoiled(checkpoint: Any, plan: Any, staged: Any, **settings: Any) -> dict[str, str]:
        digests = store(checkpoint, plan, staged, **settings)
        entry = checkpoint.entries[NAME]
        with (staged.path / entry.file).open("r+b") as stream:
            stream.seek(entry.start)
            stream.write(b"\x00\x00\x40\x40" * 8)  # 3.0
        return digests

    monkeypatch.setattr(work, "store", spoiled)
    before = snapshot(tmp_path)
    with pytest.raises(VerificationError, match=r"model.layers.1.mlp answers differently by .* Nothing was writ"):
        protect_folder(raw, tmp_path / "place/release")
    assert snapshot(tmp_path) == before
    assert sorted(os.listdir(tmp_path / "place")) == ["raw"]
    assert [file for file in key_folder.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("phase", ["prove", "protect", "verify"])
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
