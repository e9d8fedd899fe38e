"""Which targets may be written to: absent or empty, on their own, and beside the sources rather than inside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mergeguard_hub.errors import TargetError


def check_target(target: Path, sources: Sequence[Path], *, replace: bool) -> Path:
    """Return the resolved target if it may be written.

    Args:
        target: folder that is to appear.
        sources: folders that are read meanwhile; links are followed.
        replace: whether a target that is not empty may be replaced.

    Raises:
        TargetError: if it exists and is not an empty folder, is a mount point, holds the
            current folder, or lies inside or around a source.
    """
    resolved = Path(os.path.realpath(target))
    for source in sources:
        _check_apart(target, resolved, Path(source))
    if not resolved.exists():
        return resolved
    if not resolved.is_dir():
        raise TargetError(f"{target} is a file. Give the path of a folder that does not exist yet.")
    if resolved == resolved.parent or os.path.ismount(resolved):
        raise TargetError(
            f"{target} is a mount point, which cannot be replaced in one step. Choose a folder below it, "
            f"for example {target / 'model'}."
        )
    if _holds_current(resolved):
        raise TargetError(
            f"{target} is the current folder or lies above it, and replacing it would leave this process in a deleted "
            f"one. Work from another folder, or choose a new one, for example {resolved / 'model'}."
        )
    if not replace and any(resolved.iterdir()):
        raise TargetError(f"{target} exists and is not empty. Remove it, or choose another target.")
    return resolved


def _holds_current(resolved: Path) -> bool:
    try:
        current = Path.cwd()
    except FileNotFoundError:  # somebody has deleted it
        return False
    return any(_same(resolved, folder) for folder in (current, *current.parents))


def _check_apart(target: Path, resolved: Path, source: Path) -> None:
    origin = Path(os.path.realpath(source))
    if _same(resolved, origin):
        raise TargetError(f"{target} is the source itself. Choose a folder beside it: the source is never changed.")
    if any(_same(parent, origin) for parent in resolved.parents):
        raise TargetError(f"{target} lies inside the source {source}. Choose a folder outside it.")
    if any(_same(resolved, parent) for parent in origin.parents):
        raise TargetError(f"{target} contains the source {source}. Choose a folder outside it.")


def _same(one: Path, other: Path) -> bool:
    """Compare by what the paths are, not by how they are spelled (macOS ignores case)."""
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False
