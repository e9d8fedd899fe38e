"""The small file that holds a key: private to its owner, never half-written, never inside what gets published."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import KeyFileError

_FORMAT = "mergeguard-key"
_VERSION = 1
_MAX_BYTES = 65536  # our choice: a real key file has under 600 bytes


def read_record(path: Path) -> dict[str, Any]:
    """Return the JSON object of a key file.

    Raises:
        KeyFileError: there is no such file, it cannot be read, others may read it, or it is no key file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(
            f"There is no key file {path}; check the path, or make a new key with `mergeguard key new {path}`."
        ) from None
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be read ({error.strerror}); check who owns it.") from None
    try:
        _check_private(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    return _parse(path, data)


def record_text(fields: dict[str, Any]) -> str:
    """Return what a key file holds."""
    return json.dumps({"format": _FORMAT, "version": _VERSION, **fields}, indent=2) + "\n"


def write_record(path: Path, fields: dict[str, Any], *, overwrite: bool) -> None:
    """Write a key file with mode 0600, on disk when this returns.

    A new file is created exclusively, so no existing file or link is ever followed. An old one is replaced as a whole.

    Raises:
        KeyFileError: the file exists and `overwrite` is not set, or it cannot be written.
    """
    text = record_text(fields)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}") if overwrite else path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(staged, text.encode())
        if overwrite:
            _replace(staged, path)
        _flush_folder(path.parent)
    except FileExistsError:
        raise KeyFileError(
            f"The key file {path} exists already, and overwriting it would lose the only means to unlock what it "
            "protected; choose another name, or move it away first."
        ) from None
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be written ({error.strerror}); check the folder.") from None


def refuse_inside(path: Path, forbidden: Sequence[Path], *, what: str = "key") -> None:
    """Refuse the path of a key, or of its passphrase, inside a folder that is read or written as a release.

    Raises:
        KeyFileError: `path`, with or without its links followed, lies in one of the folders.
    """
    spots = {path.resolve(), path.parent.resolve() / path.name, Path(os.path.abspath(path))}
    for folder in forbidden:
        inside = any(spot.is_relative_to(place) for spot in spots for place in (folder.resolve(), folder.absolute()))
        if inside or any(_same(parent, folder) for spot in spots for parent in spot.parents):
            raise KeyFileError(
                f"The {what} {path} lies inside {folder}, so it would be published with the model; "
                "keep it elsewhere, for example under ~/.config/mergeguard/keys."
            )


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"{path} is not a file, so it cannot be a key; give the path of a .mgkey file.")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(
            f"The key file {path} has mode {mode:04o}, so other users of this machine can reach it; "
            f"run `chmod 600 {path}` and use it again."
        )


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    record: Any = None
    if len(data) <= _MAX_BYTES:
        try:
            record = json.loads(data)
        except (ValueError, RecursionError):
            record = None  # raised below, so that no exception carries the file's text along
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise KeyFileError(
            f"{path} is not a mergeguard key file; give the .mgkey file that the model was protected with."
        )
    if record.get("version") != _VERSION:
        raise KeyFileError(
            f"The key file {path} has version {record.get('version')!r}, this package reads version {_VERSION}; "
            "update mergeguard_hub."
        )
    return record


def _create(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _replace(staged: Path, path: Path) -> None:
    try:
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False
