"""The secret is in no file of a release, no message and no traceback."""

from __future__ import annotations

import base64
import json
import secrets
import traceback
from pathlib import Path

import pytest

from mergeguard_hub.errors import MergeGuardError
from mergeguard_hub.protection import PRESETS, Key
from mergeguard_hub.release import SIDECAR, protect_folder, unlock_folder
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.releases import OTHER_KEY, fine_tuned


def forms(secret: bytes) -> list[bytes]:
    """Return every way in which 32 bytes are likely to be written down."""
    numbers = [str(number) for number in secret]
    return [
        secret,
        secret[::-1],
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        base64.b32encode(secret).rstrip(b"="),
        repr(secret)[2:-1].encode(),
        ",".join(numbers).encode(),
        ", ".join(numbers).encode(),
        str(int.from_bytes(secret, "big")).encode(),
    ]


def leaks(secret: bytes, text: bytes) -> bool:
    """Return whether a text holds the secret, or the first half of it, in any form."""
    return any(form in text for part in (secret, secret[:16]) for form in forms(part)[:8]) or any(
        form in text for form in forms(secret)
    )


def test_the_search_finds_what_it_looks_for() -> None:
    secret = secrets.token_bytes(32)
    for form in forms(secret):
        assert leaks(secret, b"x" + form + b"y")
    assert not leaks(secret, repr(Key(secret)).encode())


@pytest.mark.parametrize("preset", PRESETS)
def test_no_file_holds_the_secret(tmp_path: Path, preset: str) -> None:
    key = Key.generate()
    raw, base = tiny.save(fine_tuned("llama"), tmp_path / "raw"), tiny.save(tiny.llama(), tmp_path / "base")
    report = protect_folder(raw, tmp_path / "release", recipe=preset, key=key, base=base)
    unlock_folder(tmp_path / "release", tmp_path / "unlocked", key=key)
    for name, content in snapshot(tmp_path).items():
        assert not leaks(key.secret, content), name
    assert not leaks(key.secret, json.dumps(report.to_dict()).encode())
    assert not leaks(key.secret, repr(report).encode())


def test_solved_assignments_are_hidden(tmp_path: Path) -> None:
    """Under another key, or for another release, the same assignments look different, and nothing is readable."""
    raw, base = tiny.save(fine_tuned("llama"), tmp_path / "raw"), tiny.save(tiny.llama(), tmp_path / "base")
    other = tiny.save(fine_tuned("llama", seed=2, step=1e-4), tmp_path / "other")
    nearly = tiny.save(fine_tuned("llama", seed=2, step=1.1e-4), tmp_path / "nearly")
    sealed = []
    key = Key.generate()
    for number, (source, owner) in enumerate([(raw, key), (raw, OTHER_KEY), (other, key), (nearly, key)]):
        protect_folder(source, tmp_path / f"release{number}", recipe="params", key=owner, base=base)
        record = json.loads((tmp_path / f"release{number}" / SIDECAR).read_text())
        sealed.append(base64.b64decode(record["components"][""]["draft"]["assignments"]))
    assert len(set(sealed)) == 4
    assert all(not one.startswith(b"\x78") or one[1:2] != b"\xda" for one in sealed)  # no zlib header
    same = sum(a == b for a, b in zip(sealed[2], sealed[3], strict=False))
    assert same < 0.1 * min(len(sealed[2]), len(sealed[3]))


def test_no_traceback_holds_the_secret(tmp_path: Path) -> None:
    """With every local variable printed, as error reporters do, in every frame of ours that a failure passes."""
    key = Key.generate()
    raw = tiny.save(fine_tuned("llama"), tmp_path / "raw")
    release = tmp_path / "release"
    protect_folder(raw, release, key=key)
    record = json.loads((release / SIDECAR).read_text())
    edited, foreign = tmp_path / "edited", tmp_path / "foreign"
    for folder, change in ((edited, {"digest": "sha256:0"}), (foreign, {"key_id": OTHER_KEY.id})):
        folder.mkdir()
        for name, content in snapshot(release).items():
            (folder / name).write_bytes(content)
        (folder / SIDECAR).write_text(json.dumps({**record, **change}))
    for source in (edited, foreign, raw, tmp_path / "nowhere"):
        with pytest.raises(MergeGuardError) as caught:
            unlock_folder(source, tmp_path / "unlocked", key=key)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        text = "".join(told.format()).encode()
        assert b"unlock_folder" in text
        assert not leaks(key.secret, text)
        assert not leaks(key.secret, repr(caught.value).encode())

    def fail(step: object) -> None:
        if getattr(step, "phase", "") == "protect":
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop") as stopped:
        protect_folder(raw, tmp_path / "other", key=key, progress=fail)
    told = traceback.TracebackException.from_exception(stopped.value, capture_locals=True)
    assert not leaks(key.secret, "".join(told.format()).encode())
