"""Writing: the same bytes at the same places, and nothing at all when something goes wrong."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, open_folder, pipeline_files, tensor_bytes
from tests.checkpoint.folders import every_kind, plain, snapshot, write_pipeline, write_sharded, write_single


def _copy(checkpoint: Checkpoint, target: Path, **settings: Any) -> None:
    with StagedFolder(target, sources=[checkpoint.root], **settings) as staged:
        staged.allocate(checkpoint)
        for entry in checkpoint.entries.values():
            staged.copy_tensor(checkpoint, entry)
        for file in checkpoint.side_files:
            staged.copy_file(checkpoint.root / file, file)


@pytest.mark.parametrize("write", [write_single, write_sharded])
def test_copy_is_byte_identical(tmp_path: Path, write: Any) -> None:
    source = write(tmp_path / "source", every_kind())
    _copy(Checkpoint.open(source), tmp_path / "deep" / "er" / "out")
    assert snapshot(tmp_path / "deep" / "er" / "out") == snapshot(source)
    assert os.listdir(tmp_path / "deep" / "er") == ["out"]


@pytest.mark.parametrize("kernel", ["has no such calls", "refuses", "stops at once", "stops half-way"])
def test_copy_where_the_kernel_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    calls: list[int] = []

    def unsupported(*_: int) -> int:
        calls.append(1)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def partial(source: int, target: int, count: int, offset: int, target_offset: int) -> int:
        calls.append(1)
        if kernel == "stops at once" or len(calls) % 2 == 0:
            return 0
        return os.pwrite(target, os.pread(source, (count + 1) // 2, offset), target_offset)

    for name in ("copy_file_range", "posix_fallocate"):
        if kernel == "has no such calls":
            monkeypatch.delattr(os, name, raising=False)
        elif kernel == "refuses":
            monkeypatch.setattr(os, name, unsupported, raising=False)
    if kernel.startswith("stops"):
        monkeypatch.setattr(os, "copy_file_range", partial, raising=False)
    source = write_single(tmp_path / "source", every_kind())
    _copy(Checkpoint.open(source), tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert bool(calls) == (kernel != "has no such calls")


def test_written_tensors_are_what_safetensors_loads(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    with StagedFolder(tmp_path / "out") as staged:
        staged.allocate(checkpoint)
        for name, entry in checkpoint.entries.items():
            staged.write(entry, tensor_bytes(checkpoint.tensor(name) * 2))
    loaded = load_file(tmp_path / "out" / "model.safetensors")
    assert loaded.keys() == plain().keys()
    assert all(torch.equal(loaded[name], checkpoint.tensor(name) * 2) for name in loaded)
    assert Checkpoint.open(tmp_path / "out").entries == checkpoint.entries


def test_any_contiguous_buffer(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", {"w": torch.arange(6.0).reshape(2, 3)}))
    values: Any = torch.arange(6.0).reshape(2, 3).numpy()
    buffers: list[Any] = [values, values.tobytes(), bytearray(values.tobytes()), checkpoint.raw("w")]
    for number, data in enumerate(buffers):
        with StagedFolder(tmp_path / str(number)) as staged:
            staged.allocate(checkpoint)
            staged.write(checkpoint.entries["w"], data)
            staged.write(checkpoint.entries["w"], values[:0], offset=24)
        assert snapshot(tmp_path / str(number))["model.safetensors"] == snapshot(checkpoint.root)["model.safetensors"]


def test_threads_write_parts_at_the_same_time(tmp_path: Path) -> None:
    tensors = {f"w{number}": torch.randn(1000) for number in range(8)}
    source = write_sharded(tmp_path / "source", tensors, shards=2)
    checkpoint = Checkpoint.open(source)
    parts = [(entry, start) for entry in checkpoint.entries.values() for start in range(0, 4000, 400)]
    with StagedFolder(tmp_path / "out") as staged, ThreadPoolExecutor(8) as threads:
        staged.allocate(checkpoint)

        def write(part: tuple[Any, int]) -> None:
            entry, start = part
            staged.write(entry, checkpoint.raw(entry.name)[start : start + 400], offset=start)

        assert len(list(threads.map(write, parts))) == 80
    files = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json")
    assert snapshot(tmp_path / "out") == {file: (source / file).read_bytes() for file in files}


def test_components_in_subfolders(tmp_path: Path) -> None:
    source = write_pipeline(tmp_path / "source")
    components = open_folder(source)
    with StagedFolder(tmp_path / "out", sources=[source]) as staged:
        for name, checkpoint in components.items():
            staged.allocate(checkpoint, name)
            for entry in checkpoint.entries.values():
                staged.copy_tensor(checkpoint, entry, name)
            for file in checkpoint.side_files:
                staged.copy_file(checkpoint.root / file, f"{name}/{file}")
        for file in pipeline_files(source, components):
            staged.copy_file(source / file, file)
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_private_while_staged_then_as_the_user_wants(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    old = os.umask(0o027)
    try:
        with StagedFolder(tmp_path / "out") as staged:
            assert stat.S_IMODE(staged.path.stat().st_mode) == 0o700
            assert staged.path.parent == tmp_path
            assert staged.path.name.startswith(".out.mergeguard-")
            assert not (tmp_path / "out").exists()
            staged.allocate(checkpoint)
            assert (staged.path / "model.safetensors").stat().st_size == checkpoint.headers[
                "model.safetensors"
            ].file_bytes
            for entry in checkpoint.entries.values():
                staged.copy_tensor(checkpoint, entry)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "out" / "model.safetensors").stat().st_mode) == 0o640


def test_empty_target_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir(mode=0o700)
    _copy(Checkpoint.open(write_single(tmp_path / "source", plain())), target)
    assert snapshot(target) == snapshot(tmp_path / "source")
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_files_text_and_links(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"\0vocabulary")
    (tmp_path / "link").symlink_to("blob")
    with StagedFolder(tmp_path / "out") as staged:
        staged.copy_file(tmp_path / "link", "tokenizer/vocab.json")
        staged.write_text("mergeguard.json", "{}\nä\n")
    assert snapshot(tmp_path / "out") == {
        "mergeguard.json": "{}\nä\n".encode(),
        "tokenizer/vocab.json": b"\0vocabulary",
    }
    assert not (tmp_path / "out" / "tokenizer" / "vocab.json").is_symlink()


def test_everything_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else "file")
        real_sync(descriptor)

    def rename(old: Path, new: Path) -> None:
        events.append("rename")
        real_rename(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    _copy(Checkpoint.open(write_sharded(tmp_path / "source", plain())), tmp_path / "out")
    before, after = events[: events.index("rename")], events[events.index("rename") + 1 :]
    assert len(before) == 3 + 1 + 1 + 1, "shards, index, config, folder"
    assert len(after) == 1, "the parent, whose list of names has changed"
