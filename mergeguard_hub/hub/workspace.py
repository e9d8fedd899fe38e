"""Where the raw weights of a protected save live for a moment: private, and far from anything that gets uploaded."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
_one_at_a_time = threading.RLock()  # two threads that save one model would put each other's copies back


@contextmanager
def raw_folder(target: Path, *, needed_bytes: int) -> Iterator[Path]:
    """Make a folder that only this user may enter (mode 0700), and remove it with all it holds.

    It lies in MERGEGUARD_TMPDIR if that is set, else in the system's temporary directory, else in the user's cache
    directory or /var/tmp; never in `target` or the folder above it, because a Trainer uploads its output directory in
    the background while checkpoints are saved below it. A process that is killed outright leaves the folder behind.

    Args:
        target: where the protected release goes.
        needed_bytes: size of the raw weights.

    Raises:
        HookError: no allowed place has that much room.
    """
    with tempfile.TemporaryDirectory(prefix="mergeguard-", dir=_place(target.resolve(), needed_bytes)) as folder:
        yield Path(folder).resolve()


@contextmanager
def staging_folder(*, needed_bytes: int) -> Iterator[Path]:
    """Make a folder as `raw_folder` does, for a release on its way to the Hub.

    Args:
        needed_bytes: size of the weights.

    Raises:
        HookError: no place has that much room.
    """
    with tempfile.TemporaryDirectory(prefix="mergeguard-push-", dir=_place(None, needed_bytes)) as folder:
        yield Path(folder).resolve()


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
