"""The key of one `mergeguard protect` run: found or made, told once, and not left behind where nothing needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergeguard_hub.cli.options import read_passphrase
from mergeguard_hub.cli.output import one_line
from mergeguard_hub.errors import MergeGuardError, MissingFileError

if TYPE_CHECKING:
    from mergeguard_hub.protection.key import Key


@dataclass
class ProjectKey:
    """A key with its file and whether this run made it."""

    key: Key
    path: Path | None
    created: bool


@contextmanager
def project_key(option: Path | None, source: str, target: Path, passphrase_file: Path | None) -> Iterator[ProjectKey]:
    """Give the key to protect with.

    A key made here is told once, on stderr, when the target was really protected with it. Otherwise its file is removed
    again: the run failed, or the source was a protected release already and kept its own key.

    Raises:
        KeyFileError: the key, or the file with its passphrase, cannot be used or would be published.
    """
    from mergeguard_hub.protection.key import resolve_key
    from mergeguard_hub.protection.key_file import refuse_inside

    if not source:
        raise MissingFileError("SRC is empty. Give a folder or a model id; was a shell variable unset?")
    folder = Path(source).expanduser()
    forbidden = [folder, target]
    if passphrase_file is not None:
        refuse_inside(passphrase_file.expanduser(), forbidden, what="passphrase")
    passphrase = read_passphrase(passphrase_file)
    name = folder.resolve().name if folder.exists() else source  # a model id on the Hub names itself
    found = ProjectKey(*resolve_key(option, name=name, forbidden=forbidden, passphrase=passphrase))
    try:
        yield found
        if option is None and not found.created:
            click.echo(f"mergeguard: used the key {one_line(str(found.path))}, which was there.", err=True)
    finally:
        if found.created and found.path is not None:
            found.created = _protects(found.key, target)
            if found.created:
                _tell(found.path)
            else:
                found.path.unlink(missing_ok=True)


def _protects(key: Key, target: Path) -> bool:
    from mergeguard_hub.release import read_sidecar

    if not target.is_dir():
        return False
    try:
        sidecar = read_sidecar(target)
    except MergeGuardError:
        return True  # unreadable: keep the key, losing it would be worse
    return sidecar is not None and sidecar.get("key_id") == key.id


def _tell(path: Path) -> None:
    click.echo(
        f"mergeguard: made the key {one_line(str(path))}. Keep a backup of it in a safe place: without it nobody, "
        "not even you, can give this release its original weights back.",
        err=True,
    )
