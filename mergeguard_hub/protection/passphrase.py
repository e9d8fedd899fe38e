"""Sealing a secret with a passphrase: scrypt (RFC 7914) and ChaCha20-Poly1305 (RFC 8439), both from `cryptography`."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import secrets
import unicodedata
from typing import Any

from mergeguard_hub.errors import PassphraseError

_COST = {"n": 2**17, "r": 8, "p": 1}  # OWASP Password Storage Cheat Sheet: 128 MiB, under a second on one core
_LIMIT = {"n": 2**20, "r": 8, "p": 4}  # our choice: a hostile file must not make us allocate without end
_CIPHER = "chacha20poly1305"


def seal(secret: bytes, passphrase: str, *, bound: bytes) -> dict[str, Any]:
    """Encrypt a secret.

    Args:
        secret: what to hide.
        passphrase: any text that is not empty; Unicode-normalised (NFC), so that keyboards may differ.
        bound: public bytes that must be the same when it is opened.

    Returns:
        JSON-ready fields "kdf", "cipher", "nonce" and "sealed".

    Raises:
        PassphraseError: the passphrase is empty, or `cryptography` is not installed.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = ChaCha20Poly1305(_derive(passphrase, salt, **_COST)).encrypt(nonce, secret, bound)
    return {
        "kdf": {"name": "scrypt", **_COST, "salt": _text(salt)},
        "cipher": _CIPHER,
        "nonce": _text(nonce),
        "sealed": _text(sealed),
    }


def unseal(record: dict[str, Any], passphrase: str, *, bound: bytes, place: str) -> bytes:
    """Decrypt what `seal` made.

    Args:
        record: the fields that `seal` returned.
        passphrase: the one it was sealed with.
        bound: the public bytes it was sealed with.
        place: name of the file, for messages.

    Raises:
        PassphraseError: the passphrase is wrong or empty, the record damaged or of an unknown kind, or `cryptography`
            is not installed.
    """
    _require_cryptography()
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        kdf = record["kdf"]
        cost = {name: int(kdf[name]) for name in _COST}
        known = kdf["name"] == "scrypt" and record["cipher"] == _CIPHER
        salt, nonce, sealed = (_bytes(text) for text in (kdf["salt"], record["nonce"], record["sealed"]))
    except (KeyError, TypeError, ValueError, binascii.Error):
        known = False
    if not known or any(not 0 < cost[name] <= _LIMIT[name] for name in cost) or len(nonce) != 12:
        raise PassphraseError(
            f"{place} is sealed in a way that this version cannot open (it knows scrypt with {_CIPHER}); the file is "
            "damaged or was written by a newer mergeguard_hub. Restore it from a backup, or update the package."
        )
    try:
        return ChaCha20Poly1305(_derive(passphrase, salt, **cost)).decrypt(nonce, sealed, bound)
    except (InvalidTag, ValueError):
        raise PassphraseError(
            f"The passphrase does not open {place}: it is wrong, or the file was changed. Check both."
        ) from None


def _derive(passphrase: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    if not passphrase:
        raise PassphraseError(
            "The passphrase is empty, which would protect nothing; give a longer one, or none at all."
        )
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(unicodedata.normalize("NFC", passphrase).encode())


def _require_cryptography() -> None:
    if importlib.util.find_spec("cryptography") is None:
        raise PassphraseError(
            "A key with a passphrase needs the `cryptography` package, which is not installed; "
            "run `pip install cryptography`, or use a key without a passphrase."
        )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
