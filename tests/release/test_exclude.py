"""What is left out of a release on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergeguard_hub.protection import Key
from mergeguard_hub.release import protect_folder, unlock_folder
from tests import tiny

KEY = Key(bytes(range(32)))


@pytest.mark.parametrize("exclude", ["secret-notes.txt", ["secret-notes.txt"], ("secret-*",)])
def test_a_text_is_one_pattern(exclude: str | list[str], tmp_path: Path) -> None:
    """Taken letter by letter it would match nothing, and the file would be published."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    (tmp_path / "raw" / "secret-notes.txt").write_text("private", encoding="utf-8")
    protect_folder(tmp_path / "raw", tmp_path / "out", key=KEY, exclude=exclude)
    assert not (tmp_path / "out" / "secret-notes.txt").exists()
    (tmp_path / "out" / "secret-notes.txt").write_text("private", encoding="utf-8")
    unlock_folder(tmp_path / "out", tmp_path / "back", key=KEY, exclude=exclude)
    assert not (tmp_path / "back" / "secret-notes.txt").exists()
