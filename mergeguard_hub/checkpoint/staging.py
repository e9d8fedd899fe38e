"""The private folder beside a target in which a release is put together, and what killed runs left there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path

from mergeguard_hub.checkpoint.swap import recover

_MARK = ".mergeguard-"
_NAME_BYTES = 200  # of the target's name: with the rest below 255, the limit of most file systems


def make_staging(target: Path) -> tuple[Path, int, int]:
    """Make an empty private folder beside `target`, locked for as long as this process lives.

    Folders of earlier runs that were killed are cleared first: the lock tells them from those still at work.

    Returns:
        Its path, the descriptor that holds the lock, and the permission bits a folder gets here by default.

    Raises:
        OSError: if the folder cannot be made.
    """
    _clear_leftovers(target)
    while True:
        path = target.with_name(_stem(target) + secrets.token_hex(8))
        path.mkdir()
        try:
            mode = path.stat().st_mode & 0o777  # 0o777 less the user's umask, which can be read in no safer way
            path.chmod(0o700)
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another run cleared it before it was locked
        with contextlib.suppress(OSError):  # some network file systems have no locks; then nothing is cleared either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor, mode
        os.close(descriptor)  # another run cleared it between mkdir and lock


def unlock(descriptor: int) -> None:
    """Give up a lock, also where a process that was forked meanwhile has a copy of the descriptor, and close it."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _stem(target: Path) -> str:
    name = target.name
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}{_MARK}"


def remove_staging(path: Path, made: list[Path]) -> None:
    """Remove a staging folder and those of its parents that were made for it and are empty."""
    shutil.rmtree(path, ignore_errors=True)
    for parent in reversed(made):
        with contextlib.suppress(OSError):
            parent.rmdir()


def make_parents(target: Path) -> list[Path]:
    """Make the missing parents of `target` and return them, outermost first.

    Raises:
        OSError: if one cannot be made.
    """
    missing = [parent for parent in target.parents if not parent.exists()][::-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _clear_leftovers(target: Path) -> None:
    pattern = re.compile(re.escape(_stem(target)) + r"[0-9a-f]{16}(\.old)?")
    for leftover in list(target.parent.iterdir()):
        if pattern.fullmatch(leftover.name) and leftover.is_dir() and not leftover.is_symlink():
            _clear(leftover, target)


def _clear(leftover: Path, target: Path) -> None:
    try:
        descriptor = os.open(leftover, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # at work
    else:
        recover(leftover, target)
    finally:
        os.close(descriptor)
