"""Where keys lie: made once per project, in the user's own folder, never where they would be published."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from mergeguard_hub.errors import KeyFileError
from mergeguard_hub.protection import passphrase as passphrase_module
from mergeguard_hub.protection.key import Key, default_key_path, resolve_key

SECRET = bytes(range(32))
TEXT = base64.b64encode(SECRET).decode()
SHIPPED_COST = dict(passphrase_module._COST)
PASSPHRASE = "correct horse b\u00e4ttery"


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase_module, "_COST", {"n": 16, "r": 8, "p": 1})


def test_default_path_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MERGEGUARD_KEY_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    paths = [default_key_path("m")]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    paths.append(default_key_path("m"))
    monkeypatch.setattr(sys, "platform", "darwin")
    paths.append(default_key_path("m"))
    monkeypatch.setenv("MERGEGUARD_KEY_DIR", str(tmp_path / "mine"))
    paths.append(default_key_path("m"))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        ".config/mergeguard/keys/m.mgkey",
        "xdg/mergeguard/keys/m.mgkey",
        "Library/Application Support/mergeguard/keys/m.mgkey",
        "mine/m.mgkey",
    ]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a\x00b", "org/../x", "m" * 300, "\u6a21\u578b"]
)
def test_no_name_leaves_the_key_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MERGEGUARD_KEY_DIR", str(tmp_path))
    path = Key(SECRET).save(default_key_path(name))
    assert path.resolve().parent == tmp_path.resolve()
    assert not path.name.startswith(".")


def test_different_names_have_different_keys() -> None:
    names = ["org/model", "org model", "org?model", "model", "Model", "m" * 300, "m" * 301]
    assert default_key_path("org/model").name == "org--model.mgkey"
    assert len({default_key_path(name) for name in names}) == len(names)


def test_resolve_makes_the_project_key_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERGEGUARD_KEY_DIR", str(tmp_path / "keys"))
    first, path, created = resolve_key(None, name="m", forbidden=[tmp_path / "out"])
    again, same, created_again = resolve_key(None, name="m", forbidden=[tmp_path / "out"])
    assert (path, created, same, created_again) == (tmp_path / "keys" / "m.mgkey", True, path, False)
    assert first.secret == again.secret


def test_resolve_takes_a_key_a_new_path_and_an_old_path(tmp_path: Path) -> None:
    key = Key(SECRET)
    assert resolve_key(key, name="m", forbidden=[tmp_path]) == (key, None, False)
    made, path, created = resolve_key(str(tmp_path / "k.mgkey"), name="m", forbidden=[], passphrase=PASSPHRASE)
    found, _, created_again = resolve_key(tmp_path / "k.mgkey", name="m", forbidden=[], passphrase=PASSPHRASE)
    assert (path, created, created_again, made.secret) == (tmp_path / "k.mgkey", True, False, found.secret)


def test_a_key_that_would_be_published_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "alias").symlink_to(out)
    (out / "link.mgkey").symlink_to(tmp_path / "k.mgkey")
    spots = [
        out / "k.mgkey",
        out / "deep" / "k.mgkey",
        tmp_path / "alias" / "k.mgkey",
        out / "link.mgkey",
        out / ".." / "out" / "k",
    ]
    for spot in spots:
        with pytest.raises(KeyFileError, match="so it would be published with the model"):
            resolve_key(spot, name="m", forbidden=[tmp_path / "other", out])
    assert sorted(entry.name for entry in out.iterdir()) == ["link.mgkey"]


def test_a_target_that_does_not_exist_yet_is_forbidden_too(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="would be published"):
        resolve_key(tmp_path / "new" / "k.mgkey", name="m", forbidden=[tmp_path / "new"])
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_checked_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERGEGUARD_KEY_DIR", str(tmp_path / "out" / "keys"))
    with pytest.raises(KeyFileError, match="would be published"):
        resolve_key(None, name="m", forbidden=[tmp_path / "out"])
