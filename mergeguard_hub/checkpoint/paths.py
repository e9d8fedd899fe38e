"""Names of files inside a folder: safe to join, and never leading outside."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from mergeguard_hub.errors import UnsafePathError


def inside(name: str, *, label: str) -> str:
    """Return `name` in normal form if it is a plain relative POSIX path without "..".

    Args:
        name: path as some file wrote it.
        label: who names it, for the message.

    Raises:
        UnsafePathError: if it is empty, absolute, holds "..", a backslash or a character no file name can have.
    """
    path = PurePosixPath(name)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        encoded = b"\0"
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or b"\0" in encoded:
        raise UnsafePathError(
            f"{label} names {name!r}, which is not a file inside the folder. "
            "The file was damaged or made to reach other files: get the checkpoint from a source you trust."
        )
    return str(path)


def refuse_linked_folders(root: Path, name: str, *, label: str) -> None:
    """Refuse a name that passes through a symbolic link to a folder; a link in the last place is fine.

    The snapshots of the Hub's cache are folders of links to files, so only the name has to stay inside.

    Raises:
        UnsafePathError: if a folder on the way is a link.
    """
    for parent in PurePosixPath(name).parents:
        if parent.parts and (root / parent).is_symlink():
            raise UnsafePathError(
                f"{label} names {name!r}, and {str(parent)!r} is a symbolic link that leads outside the folder. "
                "Put the real folder there, or leave it out with exclude=."
            )
