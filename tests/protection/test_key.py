"""The key: private on disk, silent in every message, and the same for ever."""

from __future__ import annotations

import base64
import json
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.errors import KeyFileError
from mergeguard_hub.protection import passphrase as passphrase_module
from mergeguard_hub.protection.key import Key

SECRET = bytes(range(32))
TEXT = base64.b64encode(SECRET).decode()
SHIPPED_COST = dict(passphrase_module._COST)
PASSPHRASE = "correct horse b\u00e4ttery"


def write(path: Path, record: Any, *, mode: int = 0o600) -> Path:
    """Write a key file by hand."""
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    path.chmod(mode)
    return path


def plain(**changes: Any) -> dict[str, Any]:
    """Return the record of the test key, with some fields changed."""
    return {"format": "mergeguard-key", "version": 1, "id": Key(SECRET).id, "secret": TEXT} | changes


# Identity


def test_id_is_frozen_and_public() -> None:
    assert Key(SECRET).id == "49273e18cb8170a8"


def test_generated_keys_differ() -> None:
    assert len({Key.generate().secret for _ in range(10)}) == 10


def test_nothing_printable_holds_the_secret() -> None:
    key = Key(SECRET)
    shown = f"{key} {key!r} {key:} {[key]} {key.stream('a')!r}"
    assert shown.count("Key(id='49273e18cb8170a8')") == 4
    assert not any(form in shown for form in (TEXT, SECRET.hex(), repr(SECRET)))


def test_a_key_of_another_length_is_refused_without_showing_it() -> None:
    with pytest.raises(KeyFileError, match="holds 32 bytes") as caught:
        Key(SECRET[:8])
    assert repr(SECRET[:8])[2:-1] not in "".join(traceback.format_exception(caught.value))


def test_keys_travel_to_worker_processes() -> None:
    assert pickle.loads(pickle.dumps(Key(SECRET))).secret == SECRET


# Files


def test_file_format_is_frozen(tmp_path: Path) -> None:
    path = write(tmp_path / "old.mgkey", plain())
    assert Key.load(path).secret == SECRET
    assert json.loads(Key(SECRET).save(tmp_path / "new.mgkey").read_text()) == plain()


def test_saved_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = Key(SECRET).save(tmp_path / "deep" / "er" / "k.mgkey")
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [entry.name for entry in path.parent.iterdir()] == ["k.mgkey"]


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Key(SECRET).save("~/k.mgkey") == tmp_path / "k.mgkey"
    assert Key.load("~/k.mgkey").secret == SECRET


def test_an_existing_key_is_never_overwritten_by_accident(tmp_path: Path) -> None:
    path = Key(SECRET).save(tmp_path / "k.mgkey")
    with pytest.raises(KeyFileError, match="exists already, and overwriting it would lose"):
        Key.generate().save(path)
    assert Key.load(path).secret == SECRET


def test_overwrite_replaces_the_whole_file_and_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    link = tmp_path / "k.mgkey"
    link.symlink_to(victim)
    Key(SECRET).save(link, overwrite=True)
    assert (victim.read_text(), link.is_symlink(), Key.load(link).secret) == ("untouched", False, SECRET)


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "k.mgkey"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="exists already"):
        Key(SECRET).save(link)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_leaves_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool) -> None:
    path = tmp_path / "k.mgkey"
    if overwrite:
        Key(SECRET).save(path)
    before = sorted(tmp_path.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match=r"cannot be written \(No space left on device\)"):
        Key.generate().save(path, overwrite=overwrite)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "k.mgkey", plain(), mode=mode)
    with pytest.raises(KeyFileError, match=rf"has mode {mode:04o}.*run `chmod 600 "):
        Key.load(path)


BAD_FILES = {
    "text": ("not json", "is not a mergeguard key file"),
    "binary": ("\x00\x01", "is not a mergeguard key file"),
    "list": ([1], "is not a mergeguard key file"),
    "nested": ("[" * 30_000, "is not a mergeguard key file"),
    "huge": ('{"format": "mergeguard-key", "x": "' + "y" * 70_000 + '"}', "is not a mergeguard key file"),
    "other format": (plain(format="other"), "is not a mergeguard key file"),
    "newer version": (plain(version=2), "has version 2, this package reads version 1"),
    "no secret": (plain(secret=None), "is damaged"),
    "not base64": (plain(secret=TEXT[:-2] + "!!"), "is damaged"),
    "short secret": (plain(secret=TEXT[:20]), "is damaged"),
    "another id": (plain(id="0" * 16), "its secret does not fit its id"),
    "no id": (plain(id=None), "its secret does not fit its id"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_sentence_that_hides_the_secret(tmp_path: Path, name: str) -> None:
    record, message = BAD_FILES[name]
    path = write(tmp_path / "k.mgkey", record)
    with pytest.raises(KeyFileError, match=message) as caught:
        Key.load(path)
    assert TEXT[:12] not in "".join(traceback.format_exception(caught.value))
    assert str(path) in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"There is no key file .*gone\.mgkey"):
        Key.load(tmp_path / "gone.mgkey")
    with pytest.raises(KeyFileError, match="is not a file"):
        Key.load(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="is not a file"):
        Key.load(tmp_path / "pipe")
