"""Where the raw weights of a protected save live for a moment: private, and far from anything that gets uploaded."""

from __future__ import annotations

import copy
import fcntl
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import find_family, parts

OVERRIDE = "MERGEGUARD_TMPDIR"
_LIVE: dict[str, tuple[str, ...]] = {
    "transformers": ("config", "generation_config"),
    "hub mixin": (),
}  # what the libraries write into on a save
_LIVE_DIFFUSERS = ("_internal_dict",)
_OURS = re.compile(r"\.mergeguard-(raw|push)-[a-z0-9_]{8}")  # as tempfile names them
_NEW_S = 60.0  # our choice
_one_at_a_time = threading.RLock()  # two threads that save one model would put each other's copies back


@contextmanager
def raw_folder(target: Path, *, needed_bytes: int) -> Iterator[Path]:
    """Make a folder that only this user may enter (mode 0700), and remove it with all it holds.

    It lies in MERGEGUARD_TMPDIR if that is set, else in the system's temporary directory, else in the user's cache
    directory or /var/tmp; never in `target` or the folder above it, because a Trainer uploads its output directory in
    the background while checkpoints are saved below it. What a process that was killed outright left there goes with
    the next save.

    Args:
        target: where the protected release goes.
        needed_bytes: size of the raw weights.

    Raises:
        HookError: no allowed place has that much room.
    """
    with _private(_place(target.resolve(), needed_bytes), ".mergeguard-raw-") as folder:
        yield folder


@contextmanager
def staging_folder(*, needed_bytes: int) -> Iterator[Path]:
    """Make a folder as `raw_folder` does, for a release on its way to the Hub.

    Args:
        needed_bytes: size of the weights.

    Raises:
        HookError: no place has that much room.
    """
    with _private(_place(None, needed_bytes), ".mergeguard-push-") as folder:
        yield folder


@contextmanager
def _private(place: Path, prefix: str) -> Iterator[Path]:
    """Make a folder that is locked for as long as it is used, after those of killed processes were removed."""
    for leftover in list(place.glob(".mergeguard-*")):
        _clear(leftover)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems have no locks; then nothing is cleared either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(folder).resolve()
        finally:
            os.close(descriptor)


def _clear(leftover: Path) -> None:
    """Remove a folder of ours that nobody holds the lock of; a new one may not have it yet."""
    with suppress(OSError):
        found = leftover.lstat()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.getuid()
        if not (private and _OURS.fullmatch(leftover.name)) or time.time() - found.st_mtime < _NEW_S:
            return
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(descriptor)


@contextmanager
def shielded_configs(model: Any) -> Iterator[None]:
    """Let the libraries write dtype and class names into copies of the configs, and put the live ones back."""
    kept: list[tuple[Any, str, Any]] = []
    with _one_at_a_time:
        try:
            for part, name, live in _live_configs(model):
                kept.append((part, name, live))
                vars(part)[name] = _copied(live)
            yield
        finally:
            for part, name, live in kept:
                vars(part)[name] = live


def _live_configs(model: Any) -> Iterator[tuple[Any, str, Any]]:
    for _, part in parts(model):
        found = find_family(type(part))
        for name in _LIVE.get(found[0], _LIVE_DIFFUSERS) if found else _LIVE_DIFFUSERS:
            live = vars(part).get(name)
            if live is not None:
                yield part, name, live


def _copied(config: Any) -> Any:
    if isinstance(config, dict):  # the frozen dictionaries of diffusers refuse to be copied item by item
        return type(config)(copy.deepcopy(dict(config)))
    return copy.deepcopy(config)


def _place(target: Path | None, needed_bytes: int) -> Path:
    override = os.environ.get(OVERRIDE)
    seen: list[str] = []
    for place in [Path(override).expanduser()] if override else _default_places():
        if target is not None and _is_published(place.resolve(), target):
            seen.append(f"{place} lies in or beside the target {target}")
            continue
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(place).free
        except OSError as error:
            seen.append(f"{place} cannot be used ({error.strerror})")
            continue
        if not os.access(place, os.W_OK | os.X_OK):
            seen.append(f"{place} is not writable")
        elif free_bytes < needed_bytes:
            seen.append(f"{place} has {free_bytes:,} bytes free")
        else:
            return place
    raise HookError(
        f"No private place was found for {needed_bytes:,} bytes of raw weights: {'; '.join(seen)}. "
        f"Set {OVERRIDE} to a folder with room that is not uploaded."
    )


def _default_places() -> list[Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(tempfile.gettempdir()), cache / "mergeguard", Path("/var/tmp")]


def _is_published(place: Path, target: Path) -> bool:
    """Whether `place` lies in the target or the folder above it; a file system's root is nobody's output directory."""
    above = target.parent
    return place.is_relative_to(target) or (above != above.parent and place.is_relative_to(above))
