"""The key of one protected save: found or made, told once, and not left behind where nothing needs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from mergeguard_hub.errors import MergeGuardError
from mergeguard_hub.hub.settings import SaveSettings
from mergeguard_hub.protection.key import Key, resolve_key

_logger = logging.getLogger("mergeguard_hub")
_project: ContextVar[str | None] = ContextVar("mergeguard_project", default=None)


@contextmanager
def project(name: str) -> Iterator[None]:
    """Name the keys that are made inside after a repository: the folder that is saved to is a temporary one."""
    token = _project.set(name)
    try:
        yield
    finally:
        _project.reset(token)


@contextmanager
def owners_key(target: Path, settings: SaveSettings) -> Iterator[Key]:
    """Give the key to protect `target` with.

    A key file that is made here is told once, when the target was really protected with it. Otherwise it is removed
    again: the save failed, or the weights were a protected release already and kept its key.

    Raises:
        HookError: the settings lost their key in a pickle.
        KeyFileError: the file lies in the target, is no usable key, or cannot be written.
        PassphraseError: the passphrase is missing, wrong, or not needed.
    """
    settings.require_key()
    key, path, created = resolve_key(
        settings.key, name=key_name(target), forbidden=[target], passphrase=settings.passphrase
    )
    try:
        yield key
    finally:
        if created and path is not None:
            if _protects(key, target):
                _logger.warning(
                    "A new key was made: %s. Keep a copy: without it nobody, not even you, gets the raw weights back.",
                    path,
                )
            else:
                path.unlink(missing_ok=True)


def key_name(target: Path) -> str:
    """Return the name of the default key of what is saved to `target`.

    It is the repository's name for a push, else the folder's; for a Trainer's "checkpoint-100" that of the folder
    above. It is not the name of the model that was loaded, which for a fine-tuned model is its base: all fine-tunes of
    one base would share a key, and two releases that were protected with one key can be merged with each other.
    """
    target = target.resolve()
    return _project.get() or (target.parent.name if is_trainer_checkpoint(target) else target.name) or "model"


def is_trainer_checkpoint(target: Path) -> bool:
    """Return whether a folder has the name that a Trainer gives to its checkpoints."""
    return target.name.startswith("checkpoint-") and target.name[11:].isdigit()


def is_checkpoint_of(output: Path | None, target: Path) -> bool:
    """Return whether a folder is one of the checkpoints of the Trainer that writes to `output`, if there is one."""
    return output is not None and is_trainer_checkpoint(target) and target.resolve().parent == output.resolve()


def _protects(key: Key, target: Path) -> bool:
    """Whether the release in `target` needs this key. When in doubt it does: a lost key cannot be made again."""
    from mergeguard_hub.release.sidecar import read_sidecar  # loads the machinery only when something is saved

    try:
        record = read_sidecar(target)
    except MergeGuardError:
        return True
    return record is not None and record.get("key_id") == key.id
