"""A disk that is too small: a sentence with both sizes, at once, and nothing left behind."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder
from mergeguard_hub.errors import TargetError
from tests.checkpoint.folders import plain, snapshot, write_single
from tests.checkpoint.writer import PROCESSES, allocate_under_limit


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


def _full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _allocate(checkpoint: Checkpoint, target: Path) -> None:
    with StagedFolder(target, sources=[checkpoint.root]) as staged:
        staged.allocate(checkpoint)


@pytest.fixture
def large(tmp_path: Path) -> Checkpoint:
    """A checkpoint of 2 MB."""
    return Checkpoint.open(write_single(tmp_path / "source", {"w": torch.randn(1 << 19)}))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real file system of 1 MB where this user may mount one, else calls that answer as if there were."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    mounted = mount is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        real = shutil.disk_usage
        small = Usage(1 << 20, 0, 1 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: small if Path(path).is_relative_to(disk) else real(path))
        monkeypatch.setattr(os, "posix_fallocate", _full, raising=False)
        monkeypatch.setattr(os, "ftruncate", _full)
        monkeypatch.setattr(shutil, "copyfile", _full)
        monkeypatch.setattr(Path, "write_bytes", _full)
    yield disk
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


def test_plainly_too_small(large: Checkpoint, small_disk: Path) -> None:
    with pytest.raises(TargetError, match=r"needs 2097\d{3} more bytes and \d{1,7} are free. Free space, or choose"):
        _allocate(large, small_disk / "out")
    assert os.listdir(small_disk) == []


def test_full_only_on_reserving(large: Checkpoint, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotas and other writers do not show in the free space: reserving finds out before anything is computed."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 1 << 40))
    with pytest.raises(TargetError, match=r"disk/out/model\.safetensors needs 2097\d{3} more bytes"):
        _allocate(large, small_disk / "out")
    assert os.listdir(small_disk) == []


def test_full_on_the_last_files(tmp_path: Path, small_disk: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as stream:
        stream.write(bytes(2 << 20))
    with StagedFolder(small_disk / "out") as staged:
        (staged.path / "README.md").touch()
        with pytest.raises(TargetError, match=r"tokenizer\.json needs 2097152 more bytes"):
            staged.copy_file(tmp_path / "tokenizer.json", "tokenizer.json")
        with pytest.raises(TargetError, match=r"mergeguard\.json needs 2097152 more bytes"):
            staged.write_text("mergeguard.json", "x" * (2 << 20))
    assert os.listdir(small_disk / "out") == ["README.md"], "nothing that was cut off"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite"])
def test_every_call_that_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    before = snapshot(tmp_path)

    def fail(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail, raising=False)
    with pytest.raises(TargetError, match=r"model\.safetensors needs \d+ more bytes and \d+ are free"):
        _allocate(checkpoint, tmp_path / "out")
    assert snapshot(tmp_path) == before
    assert os.listdir(tmp_path) == ["source"]


def test_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where space cannot be reserved (macOS), a full disk shows late, and still leaves nothing."""
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))

    def writing() -> None:
        with StagedFolder(tmp_path / "out") as staged:
            staged.allocate(checkpoint)
            monkeypatch.setattr(os, "pwrite", _full)
            staged.write(checkpoint.entries["layers.0.weight"], bytes(128))

    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with pytest.raises(TargetError, match="needs 128 more bytes"):
        writing()
    assert os.listdir(tmp_path) == ["source"]


def test_real_limit_on_file_sizes(tmp_path: Path, large: Checkpoint) -> None:
    """A limit that any user can set stands in for a file system that takes no larger files."""
    ours, theirs = PROCESSES.Pipe()
    arguments = (theirs, large.root, tmp_path / "out", 1 << 20)
    process = PROCESSES.Process(target=allocate_under_limit, args=arguments)
    process.start()
    theirs.close()
    message = ours.recv()
    process.join()
    assert re.search(r"model\.safetensors: 2097\d{3} bytes are more than one file may have here", message)
    assert os.listdir(tmp_path) == ["source"]
