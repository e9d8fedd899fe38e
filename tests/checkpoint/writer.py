"""A process that writes a checkpoint folder step by step, for tests that kill it; and where such processes come from.

They are forked from a server that has imported torch once, so each starts in milliseconds.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, swap
from mergeguard_hub.errors import TargetError

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "tests.checkpoint.writer"])


def write(pipe: Connection, source: Path, target: Path, *, replace: bool, exchange: bool, step: bool) -> None:
    """Copy `source` to `target`, sending the name of every moment; with `step`, go on only when told to."""

    def reach(moment: str) -> None:
        pipe.send(moment)
        if step:
            pipe.recv()

    _announce(reach, exchange=exchange)
    checkpoint = Checkpoint.open(source)
    reach("opened")
    with StagedFolder(target, sources=[source], replace=replace) as staged:
        reach("staged")
        staged.allocate(checkpoint)
        reach("allocated")
        for number, entry in enumerate(checkpoint.entries.values()):
            half = entry.nbytes // 2
            staged.write(entry, checkpoint.raw(entry.name)[:half])
            if number == 1:
                reach("inside a tensor")
            staged.write(entry, checkpoint.raw(entry.name)[half:], offset=half)
            if number == 2:
                reach("between tensors")
        for file in checkpoint.side_files:
            staged.copy_file(checkpoint.root / file, file)
        reach("written")
    reach("done")


def _announce(reach: Callable[[str], None], *, exchange: bool) -> None:
    """Make the calls that finish a folder say so before and after, in this process only."""
    real_sync, real_rename, real_exchange = os.fsync, os.rename, swap._exchange

    def fsync(descriptor: int) -> None:
        reach("sync")
        real_sync(descriptor)

    def rename(old: Any, new: Any) -> None:
        reach("rename")
        real_rename(old, new)
        reach("renamed")

    def exchanged(one: bytes, other: bytes) -> bool:
        if not exchange:
            return False
        reach("exchange")
        done = real_exchange(one, other)
        reach("exchanged")
        return done

    os.fsync, os.rename, swap._exchange = fsync, rename, exchanged  # type: ignore[assignment]


def allocate_under_limit(pipe: Connection, source: Path, target: Path, limit_bytes: int) -> None:
    """Try to allocate with a limit on the size of files, and send the message of the refusal."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    checkpoint = Checkpoint.open(source)
    try:
        with StagedFolder(target) as staged:
            staged.allocate(checkpoint)
    except TargetError as error:
        pipe.send(str(error))
    pipe.close()
