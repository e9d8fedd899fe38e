"""Putting a finished folder in the place of an old one, in one step where the system offers it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_SHARD_END = re.compile(r"(-\d{5}-of-\d{5})?(\.[^.]+)?\.safetensors$")
_REST = r"([.-].*)?\.(safetensors|bin)(\.index(\..+)?\.json)?"  # of the name of a single file, shard or index
_KNOWN_STEMS = ("model", "pytorch_model", "diffusion_pytorch_model")


def swap(staged: Path, target: Path) -> Path:
    """Put `staged` at `target`, which exists, and return where the old target is now.

    On Linux and macOS the two exchange their names in one step. Where the file system cannot, the old one is first
    renamed to `staged` + ".old": if the process dies between the two renames, `recover` puts it back.

    Raises:
        OSError: if renaming fails; the old target is then in its place.
    """
    if _exchange(os.fsencode(staged), os.fsencode(target)):
        return staged
    aside = staged.with_name(staged.name + ".old")
    os.rename(target, aside)
    try:
        os.rename(staged, target)
    except BaseException:
        os.rename(aside, target)
        raise
    return aside


def _exchange(one: bytes, other: bytes) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            return bool(library.renamex_np(one, other, ctypes.c_uint(_EXCHANGE)) == 0)
        return bool(library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, ctypes.c_uint(_EXCHANGE)) == 0)
    except AttributeError:
        return False


def recover(leftover: Path, target: Path) -> None:
    """Clear what a killed run left: put an old target back that was renamed aside, remove anything else."""
    if leftover.name.endswith(".old") and not target.exists():
        os.rename(leftover, target)
    else:
        shutil.rmtree(leftover, ignore_errors=True)


def carry_over(old: Path, new: Path, weight_files: Iterable[str], carried: set[str]) -> None:
    """Bring the files of an old target into the new one, except those that the new one has and stale weights.

    Stale is, in each folder that got new weights, a single file, shard or index of the same stem, or of the stems
    that transformers and diffusers use. Weights elsewhere, such as a Trainer's checkpoint folders, stay.

    Args:
        old: the old target, which is only read. Files become hard links to it where possible.
        new: the new folder.
        weight_files: the weight files that were written, relative POSIX paths.
        carried: files that were brought before, brought again where the old ones are newer; added to.

    Raises:
        OSError: if a file can be neither linked nor copied.
    """
    stale = _stale_names(weight_files)
    for folder, folders, names in os.walk(old):
        here = Path(folder).relative_to(old)
        links = [name for name in folders if (old / here / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and _is_open(new / here / name)]
        with contextlib.suppress(FileNotFoundError):  # who writes there may also delete
            for name in folders:
                _copy_folder(old / here / name, new / here / name)
        for name in [*names, *links]:
            relative = (here / name).as_posix()
            if not stale(here.as_posix(), name):
                with contextlib.suppress(FileNotFoundError):
                    _bring(old / relative, new / relative, relative, carried)


def _bring(old: Path, new: Path, relative: str, carried: set[str]) -> None:
    if os.path.lexists(new):
        if relative not in carried or old.lstat().st_mtime_ns <= new.lstat().st_mtime_ns:
            return
        new.unlink()
    with contextlib.suppress(FileExistsError):
        _link(old, new)
        carried.add(relative)


def _stale_names(weight_files: Iterable[str]) -> Callable[[str, str], bool]:
    stems: dict[str, set[str]] = {}
    for file in weight_files:
        folder, name = os.path.split(file)
        stems.setdefault(folder or ".", set(_KNOWN_STEMS)).add(_SHARD_END.sub("", name))
    patterns = {
        folder: re.compile(f"({'|'.join(map(re.escape, sorted(names)))}){_REST}") for folder, names in stems.items()
    }
    return lambda folder, name: folder in patterns and patterns[folder].fullmatch(name) is not None


def _is_open(folder: Path) -> bool:
    return not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink())


def _copy_folder(old: Path, new: Path) -> None:
    if not new.exists():
        new.mkdir(exist_ok=True)
        shutil.copymode(old, new)


def _link(old: Path, new: Path) -> None:
    if old.is_symlink():
        os.symlink(os.readlink(old), new)
        return
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(old, new)
