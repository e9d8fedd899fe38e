"""Weights and keys under names that do not say so, found by what the files hold."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mergeguard_hub.errors import KeyFileError, UnsupportedFormatError

_KEY = re.compile(rb'"format"\s*:\s*"mergeguard-key"')
_TEXT_BYTES = 4 << 20  # of a file that are searched for a key
_MAGIC = (b"GGUF", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", *(bytes([0x80, version]) for version in range(2, 6)))


def refuse_disguised(folder: Path, files: Mapping[str, Path]) -> None:
    """Refuse to publish files that hold weights, pickles or a key, whatever they are called.

    Compressed archives are not looked into, but for the zip file that `torch.save` writes.

    Args:
        folder: for the message.
        files: relative path -> file, of what goes up beside the release's own weights.

    Raises:
        KeyFileError: one of them holds a key.
        UnsupportedFormatError: one of them holds weights, or a pickle, which may.
    """
    for name, path in files.items():
        with path.open("rb") as file:
            start = file.read(_TEXT_BYTES)
        if _KEY.search(start):
            raise KeyFileError(
                f"{folder} holds a key in {name}, which would be published. Nothing was uploaded. Move it to where "
                "only you can read it."
            )
        if _is_weights(path, start):
            raise UnsupportedFormatError(
                f"{folder} holds weights or a pickle in {name}, by its content, which would be published as they are. "
                "Nothing was uploaded. Remove that file, or leave it out with exclude=."
            )


def _is_weights(path: Path, start: bytes) -> bool:
    header = int.from_bytes(start[:8], "little")  # of safetensors
    if start[8:9] == b"{" and 0 < header <= path.stat().st_size - 8:
        return True
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(("data.pkl", ".npy")) for name in archive.namelist())
    return start.startswith(_MAGIC)
