"""Giving a finished folder its name, while others may write to the same place."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mergeguard_hub.checkpoint.staging import unlock
from mergeguard_hub.checkpoint.storage import sync, sync_tree
from mergeguard_hub.checkpoint.swap import carry_over, swap

_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}  # what renaming says where somebody else was faster
_ATTEMPTS = 10  # our choice
_PATIENCE_S = 10.0  # with another run that is giving its folder this name, our choice


def appear(
    staged: Path, target: Path, weight_files: Collection[str], *, mode: int, check: Callable[[], object]
) -> None:
    """Put a synced folder at its target; the files of an old target go along, also those that appear meanwhile.

    Args:
        staged: the new folder.
        target: its name; absent, empty, or the old folder.
        weight_files: the weight files that were written, relative POSIX paths.
        mode: permission bits where there is no target yet.
        check: called before every attempt; raises if the target may not be written.

    Raises:
        OSError: if the file system fails.
    """
    carried: set[str] = set()
    for left in reversed(range(_ATTEMPTS)):
        check()
        try:
            with _locked(target):  # until it is gone, so that no other run takes it for the leftover of a killed one
                old = _take(staged, target, weight_files, carried, mode)
                if old is not None:
                    carry_over(old, target, weight_files, carried)
                    sync_tree(target)
                    shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            if error.errno not in _TAKEN or not left or not staged.exists():
                raise
        else:
            sync(target.parent)
            return


def _take(staged: Path, target: Path, weight_files: Collection[str], carried: set[str], mode: int) -> Path | None:
    """Rename, and return where the old target is now; None if it was absent or empty."""
    filled = target.exists() and any(target.iterdir())
    if filled:
        carry_over(target, staged, weight_files, carried)
        sync_tree(staged, files=False)
    staged.chmod(target.stat().st_mode & 0o7777 if target.exists() else mode)
    if filled:
        return swap(staged, target)
    os.rename(staged, target)
    return None


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of a folder, which stays with it when it is renamed; go on without where it cannot be had."""
    deadline = time.monotonic() + _PATIENCE_S
    descriptor = _lock(target)
    while descriptor is None and time.monotonic() < deadline and target.exists():
        time.sleep(0.01)
        descriptor = _lock(target)
    try:
        yield
    finally:
        if descriptor is not None:
            unlock(descriptor)


def _lock(target: Path) -> int | None:
    """Return a descriptor that holds the lock of the folder which is the target now; None if it cannot be had."""
    try:
        descriptor = os.open(target, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        return descriptor  # some network file systems have no locks
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), target.stat()):
            return descriptor
    unlock(descriptor)
    return None
