"""Weights and keys under other names do not go up."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mergeguard_hub.errors import KeyFileError, UnsupportedFormatError
from mergeguard_hub.hub.disguised import refuse_disguised

WEIGHTS = {"w": torch.ones(4, 4)}


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps([1.0]))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: save_file(WEIGHTS, path),
        lambda path: torch.save(WEIGHTS, path),
        lambda path: torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False),
        _pickled,
        lambda path: path.write_bytes(b"GGUF\3\0\0\0"),
    ],
)
def test_weights_under_another_name_are_refused(write: Callable[[Path], None], tmp_path: Path) -> None:
    """A backup of the raw weights is the common case."""
    write(tmp_path / "model.safetensors.bak")
    with pytest.raises(UnsupportedFormatError, match=r"in model\.safetensors\.bak, by its content"):
        refuse_disguised(tmp_path, {"model.safetensors.bak": tmp_path / "model.safetensors.bak"})


def test_a_key_inside_another_file_is_refused(tmp_path: Path) -> None:
    """A list of keys, or one pasted into a note."""
    (tmp_path / "note.md").write_text("mine:\n" + json.dumps([{"format": "mergeguard-key"}]) + " " * 20_000)
    with pytest.raises(KeyFileError, match=r"holds a key in note\.md"):
        refuse_disguised(tmp_path, {"note.md": tmp_path / "note.md"})


def test_ordinary_files_pass(tmp_path: Path) -> None:
    """Text, an empty file, an archive without weights, a tokenizer's protobuf."""
    contents = {
        "a.json": b'{"a": 1}',
        "empty": b"",
        "README.md": b"a mergeguard-key is a file\n",
        "t.model": b"\n\x0e{",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    refuse_disguised(tmp_path, {name: tmp_path / name for name in contents})
