"""The owner's key of one release: found or made, told once, and not left behind where nothing needs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mergeguard_hub.protection.key import Key, resolve_key

_logger = logging.getLogger("mergeguard_hub")


@contextmanager
def owners_key(key: Key | str | Path | None, *, name: str, forbidden: Sequence[Path]) -> Iterator[Key]:
    """Give the key to protect with; a file that is made here is told if the block ends well, else removed again.

    Args:
        key: a key, its file, or None for the project's file under the user's config directory.
        name: the project.
        forbidden: folders that the file must not lie in.

    Raises:
        KeyFileError: the file lies in a forbidden folder, is no usable key, or cannot be written.
        PassphraseError: the file is encrypted; open it with `Key.load` and give the key.
    """
    owner, path, created = resolve_key(key, name=name, forbidden=forbidden)
    try:
        yield owner
    except BaseException:
        if created and path is not None:
            path.unlink(missing_ok=True)
        raise
    if created:
        _logger.warning(
            "A new key was made: %s. Keep a copy: without it nobody, not even you, gets the raw weights back.", path
        )
