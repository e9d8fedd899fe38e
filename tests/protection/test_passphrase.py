"""Keys under a passphrase: opened by it alone, for ever, and every failure told apart."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.errors import PassphraseError
from mergeguard_hub.protection import passphrase as passphrase_module
from mergeguard_hub.protection.key import Key

SECRET = bytes(range(32))
TEXT = base64.b64encode(SECRET).decode()
SHIPPED_COST = dict(passphrase_module._COST)
PASSPHRASE = "correct horse b\u00e4ttery"


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase_module, "_COST", {"n": 16, "r": 8, "p": 1})


def write(path: Path, record: Any, *, mode: int = 0o600) -> Path:
    """Write a key file by hand."""
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    path.chmod(mode)
    return path


def test_sealed_file_format_is_frozen(tmp_path: Path) -> None:
    record = {
        "format": "mergeguard-key",
        "version": 1,
        "id": "49273e18cb8170a8",
        "kdf": {"name": "scrypt", "n": 16, "r": 8, "p": 1, "salt": "UruAb39tOKHPkxNiIMh+DA=="},
        "cipher": "chacha20poly1305",
        "nonce": "0pSvJKP1+ICxbGSq",
        "sealed": "V7VsHrKaA38EPOXUAqt6dhwFPkiT1c7+El2dj7ClcX5nlaxxa3flzZR4hHYSNohL",
    }
    assert Key.load(write(tmp_path / "old.mgkey", record), passphrase=PASSPHRASE).secret == SECRET


def test_a_passphrase_hides_the_secret_and_opens_it_again(tmp_path: Path) -> None:
    path = Key(SECRET).save(tmp_path / "k.mgkey", passphrase=PASSPHRASE)
    record = json.loads(path.read_text())
    assert set(record) == {"format", "version", "id", "kdf", "cipher", "nonce", "sealed"}
    assert Key.load(path, passphrase="correct horse ba\u0308ttery").secret == SECRET  # typed with a combining accent


def test_the_shipped_cost_is_what_owasp_asks_for() -> None:
    assert SHIPPED_COST == {"n": 131072, "r": 8, "p": 1}


@pytest.mark.parametrize(
    ("saved", "given", "message"),
    [
        (PASSPHRASE, None, "is encrypted; give its passphrase"),
        (PASSPHRASE, "wrong", "does not open .* it is wrong, or the file was changed"),
        (PASSPHRASE, "", "passphrase is empty"),
        (None, PASSPHRASE, "is not encrypted; leave it out"),
    ],
)
def test_wrong_passphrases_are_told_apart(tmp_path: Path, saved: str | None, given: str | None, message: str) -> None:
    path = Key(SECRET).save(tmp_path / "k.mgkey", passphrase=saved)
    with pytest.raises(PassphraseError, match=message):
        Key.load(path, passphrase=given)


def test_an_empty_passphrase_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="passphrase is empty"):
        Key(SECRET).save(tmp_path / "k.mgkey", passphrase="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "0" * 16}, "does not open"),
        ({"cipher": "rot13"}, "sealed in a way that this version cannot open"),
        ({"kdf": "scrypt"}, "sealed in a way that this version cannot open"),
        (
            {"kdf": {"name": "scrypt", "n": 2**40, "r": 8, "p": 1, "salt": "AAAA"}},
            "sealed in a way that this version cannot open",
        ),
        ({"nonce": "AAAA"}, "sealed in a way that this version cannot open"),
        ({"sealed": "AAAA"}, "does not open"),
    ],
)
def test_changed_sealed_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = Key(SECRET).save(tmp_path / "k.mgkey", passphrase=PASSPHRASE)
    write(path, json.loads(path.read_text()) | change)
    with pytest.raises(PassphraseError, match=message):
        Key.load(path, passphrase=PASSPHRASE)


def test_without_cryptography_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PassphraseError, match="pip install cryptography"):
        Key(SECRET).save(tmp_path / "k.mgkey", passphrase=PASSPHRASE)
    assert Key.load(Key(SECRET).save(tmp_path / "k.mgkey")).secret == SECRET
