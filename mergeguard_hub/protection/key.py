"""The owner's secret: what makes a release protected, and what unlocks it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import KeyFileError, PassphraseError
from mergeguard_hub.protection.key_file import read_record, record_text, refuse_inside, write_record
from mergeguard_hub.protection.passphrase import seal, unseal
from mergeguard_hub.protection.stream import Stream

_SECRET_BYTES = 32
_ID_LABEL = b"mergeguard key id v1"
_STREAM_LABEL = b"mergeguard stream v1"


@dataclass(frozen=True, repr=False, eq=False)
class Key:
    """256 secret bits from which everything random in a release is derived; no repr, message or release holds them.

    Attributes:
        secret: the 32 bytes.

    Example:
        >>> key = Key(bytes(32))
        >>> key
        Key(id='270d82e6f3145aeb')
        >>> bool((key.stream("layer.0", "rows").permutation(4) == key.stream("layer.0", "rows").permutation(4)).all())
        True
    """

    secret: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != _SECRET_BYTES:
            raise KeyFileError(
                f"A key holds {_SECRET_BYTES} bytes; make one with Key.generate() or read one with Key.load()."
            )

    def __repr__(self) -> str:
        return f"Key(id={self.id!r})"

    @classmethod
    def generate(cls) -> Key:
        """Draw a new key from the operating system's generator."""
        return cls(secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def load(cls, path: str | Path, *, passphrase: str | None = None) -> Key:
        """Read a key file.

        Args:
            path: the file; a leading "~" is the home directory.
            passphrase: the one that the file was saved with, if any.

        Raises:
            KeyFileError: the file is missing, unreadable, open to other users, damaged or no key.
            PassphraseError: a passphrase is missing, wrong, given in vain, or needs the `cryptography` package.
        """
        path = Path(path).expanduser()
        record = read_record(path)
        secret = _open_record(record, passphrase, path)
        if len(secret) != _SECRET_BYTES or cls(secret).id != record.get("id"):
            raise KeyFileError(
                f"The key file {path} is damaged: its secret does not fit its id; restore it from a backup."
            )
        return cls(secret)

    def save(self, path: str | Path, *, passphrase: str | None = None, overwrite: bool = False) -> Path:
        """Write the key to a file that only its owner may read (mode 0600), making parent folders.

        Args:
            path: the file; a leading "~" is the home directory.
            passphrase: encrypt the secret with it.
            overwrite: replace an existing file.

        Returns:
            The path written.

        Raises:
            KeyFileError: the file exists and `overwrite` is not set, or it cannot be written.
            PassphraseError: the passphrase is empty, or needs the `cryptography` package.
        """
        path = Path(path).expanduser()
        write_record(path, self._fields(passphrase), overwrite=overwrite)
        return path

    def text(self, *, passphrase: str | None = None) -> str:
        """Return what `save` writes, the secret included, for who hands a key over without keeping it.

        Args:
            passphrase: encrypt the secret with it.

        Raises:
            PassphraseError: the passphrase is empty, or needs the `cryptography` package.
        """
        return record_text(self._fields(passphrase))

    def _fields(self, passphrase: str | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"id": self.id}
        if passphrase is None:
            fields["secret"] = base64.b64encode(self.secret).decode("ascii")
        else:
            fields |= seal(self.secret, passphrase, bound=_bound(self.id))
        return fields

    @property
    def id(self) -> str:
        """Public name of the key: 16 hex digits that tell nothing about the secret."""
        return hmac.new(self.secret, _ID_LABEL, hashlib.sha256).hexdigest()[:16]

    def stream(self, *labels: str) -> Stream:
        """Return the random numbers that belong to some labels, for example a block's name and a stage.

        The same labels always give the same numbers, whatever was drawn before, in whatever process.

        Args:
            labels: any number of strings; ("a", "bc"), ("ab", "c") and ("abc",) are three different streams.
        """
        message = _STREAM_LABEL
        for label in labels:
            encoded = label.encode("utf-8")
            message += len(encoded).to_bytes(8, "big") + encoded
        return Stream(hmac.new(self.secret, message, hashlib.sha256).digest())


def default_key_path(name: str) -> Path:
    """Return where the key of a project is kept when no path is given.

    Args:
        name: the project, for example a folder name or a Hub id.

    Returns:
        `<name>.mgkey` under MERGEGUARD_KEY_DIR, else under `mergeguard/keys` in the user's config folder.
    """
    override = os.environ.get("MERGEGUARD_KEY_DIR")
    if override:
        return Path(override).expanduser() / f"{_file_stem(name)}.mgkey"
    if sys.platform == "darwin":
        config = Path.home() / "Library" / "Application Support"
    else:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config / "mergeguard" / "keys" / f"{_file_stem(name)}.mgkey"


def stored_id(path: str | Path) -> str:
    """Return the public id of the key in a file; an encrypted one is not opened.

    Raises:
        KeyFileError: the file is missing, unreadable, open to other users, damaged or no key.
    """
    record = read_record(Path(path).expanduser())
    if "sealed" not in record:
        return Key.load(path).id
    key_id = str(record.get("id"))
    if not re.fullmatch("[0-9a-f]{16}", key_id):
        raise KeyFileError(f"The key file {path} is damaged: it has no id; restore it from a backup.")
    return key_id


def resolve_key(
    key: Key | str | Path | None, *, name: str, forbidden: Sequence[Path], passphrase: str | None = None
) -> tuple[Key, Path | None, bool]:
    """Turn what a caller gave as a key into a key, making one on a project's first save.

    Args:
        key: a key; a file, created if it does not exist; or None for the project's file under `default_key_path`.
        name: the project, used for the default path.
        forbidden: folders that the file must not lie in, because they are published: the source and the target.
        passphrase: opens an existing file, or encrypts a new one.

    Returns:
        The key, its file (None for a key in memory) and whether the file was created now.

    Raises:
        KeyFileError: the file lies in a forbidden folder, is no usable key, or cannot be written.
        PassphraseError: the passphrase is missing, wrong, empty, or needs the `cryptography` package.
    """
    if isinstance(key, Key):
        return key, None, False
    path = default_key_path(name) if key is None else Path(key).expanduser()
    refuse_inside(path, forbidden)
    if not os.path.lexists(path):
        new = Key.generate()
        return new, new.save(path, passphrase=passphrase), True
    return Key.load(path, passphrase=passphrase), path, False


def _open_record(record: dict[str, Any], passphrase: str | None, path: Path) -> bytes:
    if "sealed" in record:
        if passphrase is None:
            raise PassphraseError(
                f"The key file {path} is encrypted; give its passphrase (--passphrase-file on the command line)."
            )
        return unseal(record, passphrase, bound=_bound(str(record.get("id"))), place=str(path))
    if passphrase is not None:
        raise PassphraseError(
            f"A passphrase was given, but the key file {path} is not encrypted; leave it out, or save the key again "
            "with one."
        )
    try:
        return base64.b64decode(record["secret"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return b""  # refused by the caller, so that no exception carries the text along


def _bound(key_id: str) -> bytes:
    return f"mergeguard-key 1 {key_id}".encode()


def _file_stem(name: str) -> str:
    clean = re.sub(r"[^\w.-]+", "-", name.replace("/", "--")).strip(".-")[:64]
    if clean and clean == name.replace("/", "--"):
        return clean
    return f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
