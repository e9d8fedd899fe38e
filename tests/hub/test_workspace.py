"""Where raw weights wait, and for how long."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mergeguard_hub.hub.workspace as workspace
from mergeguard_hub.errors import HookError
from mergeguard_hub.hub import enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo

KEY = Key(bytes(range(32)))


def test_private_outside_the_output_tree_and_gone_afterwards(tmp_path: Path, calls: list[Any]) -> None:
    """Mode 0700, in the system's temporary directory."""
    target = tmp_path / "runs/out"
    with workspace.raw_folder(target, needed_bytes=1) as folder:
        mode = stat.S_IMODE(folder.stat().st_mode)
        assert mode == 0o700
        assert folder.parent == Path(tempfile.gettempdir()).resolve()
    assert not folder.exists()
    enable(tiny.llama(), key=KEY).save_pretrained(target)
    assert not calls[0][0].is_relative_to(target.parent)
    assert not calls[0][0].exists()


def test_the_system_folder_is_left_when_the_target_lies_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/tmp/out and a raw folder in /tmp would be neighbours."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with workspace.raw_folder(tmp_path / "tmp/out", needed_bytes=1) as folder:
        assert folder.parent == tmp_path / "cache/mergeguard"


def test_a_target_directly_below_the_root_is_no_reason_to_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Everything is below the root."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workspace.raw_folder(Path("/model"), needed_bytes=1) as folder:
        assert folder.parent == tmp_path


@pytest.mark.parametrize("inside", ["out", "out/deep", "."])
def test_an_override_in_the_output_tree_is_refused(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Trainer may upload it while the raw weights are there."""
    monkeypatch.setenv("MERGEGUARD_TMPDIR", str(tmp_path / inside))
    with pytest.raises(HookError, match=r"lies in or beside the target .* Set MERGEGUARD_TMPDIR"):
        enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link elsewhere that leads into the output tree is in the output tree."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    monkeypatch.setenv("MERGEGUARD_TMPDIR", str(tmp_path / "link"))
    with (
        pytest.raises(HookError, match="lies in or beside the target"),
        workspace.raw_folder(tmp_path / "runs/out", needed_bytes=1),
    ):
        pass
    assert zoo.files(tmp_path / "runs") == set()


def test_too_little_room(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the save, with both sizes."""
    monkeypatch.setattr(workspace.shutil, "disk_usage", lambda _: SimpleNamespace(free=1234))
    needed = sum(tensor.numel() * 4 for tensor in (*tiny.llama().parameters(), *tiny.llama().buffers()))
    with pytest.raises(HookError, match=rf"for {needed:,} bytes of raw weights: {private} has 1,234 bytes free"):
        enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_interruption_removes_the_raw_weights(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while upstream is writing."""
    model = tiny.llama()

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers.modeling_utils.split_torch_state_dict_into_shards", interrupted)
    with pytest.raises(KeyboardInterrupt):
        enable(model, key=KEY).save_pretrained(tmp_path / "out")
    assert zoo.files(tmp_path) | zoo.files(private) == set()


def test_what_a_killed_process_left_goes_with_the_next_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERGEGUARD_TMPDIR", str(tmp_path / "tmp"))
    long_ago = (0.0, 0.0)
    killed, fresh, other, shared = (
        tmp_path / "tmp" / name
        for name in (
            ".mergeguard-raw-abcd1234",
            ".mergeguard-push-abcd1234",
            "mergeguard-releases",
            ".mergeguard-raw-x",
        )
    )
    for folder in (killed, fresh, other, shared):
        folder.mkdir(mode=0o700, parents=True)
        (folder / "model.safetensors").write_bytes(b"raw")
        os.utime(folder, None if folder is fresh else long_ago)
    with workspace.raw_folder(tmp_path / "runs/out", needed_bytes=1) as held:
        os.utime(held, long_ago)
        assert not killed.exists()
        with workspace.raw_folder(tmp_path / "runs/second", needed_bytes=1):
            assert held.exists()  # it is in use
    assert fresh.exists()
    assert other.exists()
    assert shared.exists()
