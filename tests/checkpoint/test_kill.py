"""Killed at any moment (SIGKILL, nothing can be cleaned up): no target or a whole one, and the source untouched."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder
from tests.checkpoint.folders import snapshot, write_sharded
from tests.checkpoint.writer import PROCESSES, write

WHOLE = ["renamed", "sync:8", "done"]  # the target is there from the rename on; the eighth sync is its parent's
MOMENTS = [
    *("opened", "staged", "allocated", "inside a tensor", "between tensors", "written"),
    *("sync", "sync:3", "rename", *WHOLE),
]


@contextmanager
def _writer(source: Path, target: Path, **settings: bool) -> Iterator[tuple[Connection, Callable[[], None]]]:
    """Start a writer; give the pipe to it and what kills it."""
    ours, theirs = PROCESSES.Pipe()
    settings = {"replace": False, "exchange": True, "step": True, **settings}
    process = PROCESSES.Process(target=write, args=(theirs, source, target), kwargs=settings)
    process.start()
    theirs.close()

    def kill() -> None:
        process.kill()
        process.join()

    try:
        yield ours, kill
    finally:
        kill()
        ours.close()


def _kill_at(moment: str, source: Path, target: Path, **settings: bool) -> None:
    """Let a writer go on until it has reached `moment` ("sync:3" is the third of that name), then kill it."""
    name, _, count = moment.partition(":")
    left = int(count or 1)
    with _writer(source, target, **settings) as (pipe, kill):
        while True:
            left -= pipe.recv() == name  # raises EOFError if the writer never comes there
            if left == 0:
                break
            pipe.send("go on")
        kill()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_sharded(tmp_path / "source", {f"w{number}": torch.randn(64, 64) for number in range(6)}, shards=4)


def _visible(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_making_a_new_folder(tmp_path: Path, source: Path, moment: str) -> None:
    before = snapshot(source)
    _kill_at(moment, source, tmp_path / "out")
    assert snapshot(source) == before
    assert _visible(tmp_path) == (["out", "source"] if moment in WHOLE else ["source"])
    if moment in WHOLE:
        assert snapshot(tmp_path / "out") == before
    with StagedFolder(tmp_path / "next", sources=[source]) as staged:
        staged.write_text("a", "b")
    hidden = [name for name in os.listdir(tmp_path) if name.startswith(".")]
    assert len(hidden) == (0 if moment in (*WHOLE, "opened") else 1), "another target's leftovers are not touched"
    if moment not in WHOLE:
        with StagedFolder(tmp_path / "out", sources=[source]) as staged:
            staged.write_text("a", "b")
        assert sorted(os.listdir(tmp_path)) == ["next", "out", "source"], "the next run clears what the killed one left"


@pytest.mark.parametrize(
    ("exchange", "moment", "new"),
    [
        (True, "written", False),
        (True, "exchange", False),
        (True, "exchanged", True),
        (True, "done", True),
        (False, "rename", False),
        (False, "rename:2", None),
        (False, "renamed:2", True),
    ],
)
def test_killed_while_replacing(tmp_path: Path, source: Path, exchange: bool, moment: str, new: bool | None) -> None:
    """The old folder or the new one; between two renames (no exchange) neither, and the old one comes back."""
    target = write_sharded(tmp_path / "out", {"old": torch.randn(3), "older": torch.randn(2)}, shards=2)
    old, fresh = snapshot(target), snapshot(source)
    _kill_at(moment, source, target, replace=True, exchange=exchange)
    assert snapshot(source) == fresh
    if new is None:
        assert _visible(tmp_path) == ["source"]
    else:
        assert snapshot(target) == (fresh if new else old)
    with StagedFolder(target, sources=[source], replace=True) as staged:
        assert snapshot(target) == (fresh if new else old)
        staged.write_text("mergeguard.json", "{}")
    assert snapshot(target) == {**(fresh if new else old), "mergeguard.json": b"{}"}
    assert sorted(os.listdir(tmp_path)) == ["out", "source"]


@pytest.mark.parametrize("replace", [False, True])
def test_killed_at_random_moments(tmp_path: Path, replace: bool) -> None:
    source = write_sharded(tmp_path / "source", {f"w{number}": torch.randn(1 << 18) for number in range(12)})
    before, allowed = snapshot(source), {None, Checkpoint.open(source).digest()}
    if replace:
        old = Checkpoint.open(
            write_sharded(tmp_path / "out", {"old": torch.randn(9), "older": torch.ones(9)}, shards=2)
        ).digest()
        allowed = {old, Checkpoint.open(source).digest()}
    for number in range(12):
        with _writer(source, tmp_path / "out", replace=replace, step=False) as (pipe, kill):
            pipe.recv()  # opened: from here on it writes
            time.sleep(random.uniform(0, 0.005 * number))
            kill()
        assert snapshot(source) == before
        assert (Checkpoint.open(tmp_path / "out").digest() if (tmp_path / "out").exists() else None) in allowed
        if not replace:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_two_writers_leave_each_other_alone(tmp_path: Path, source: Path) -> None:
    """What a living run is putting together is not taken for a leftover."""
    with StagedFolder(tmp_path / "out", sources=[source]) as first:
        first.write_text("a", "first")
        with StagedFolder(tmp_path / "out", sources=[source], replace=True) as second:
            second.write_text("b", "second")
            assert first.path.exists()
        (tmp_path / "out").rename(tmp_path / "theirs")
    assert snapshot(tmp_path / "out") == {"a": b"first"}
    assert snapshot(tmp_path / "theirs") == {"b": b"second"}
