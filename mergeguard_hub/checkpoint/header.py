"""The header of one safetensors file, checked against the file it describes.

The format is that of the safetensors project: 8 bytes of little-endian length, a JSON object, then the tensors' bytes
without holes or overlaps. Checked here again, because a header that lies would make the writer lie too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint.document import parse_document
from mergeguard_hub.checkpoint.dtypes import item_bytes
from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the safetensors library's own limit
_MAX_DIMENSION = 2**63 - 1
_LFS_MAGIC = b"version https://git-lfs"
_ADVICE = "It is damaged, truncated or no safetensors file: download or save it again."


@dataclass(frozen=True)
class Header:
    """What one file says about itself.

    Attributes:
        file: POSIX path relative to the checkpoint's root.
        data_start: size in bytes of length and JSON text; the first tensor's bytes begin here.
        file_bytes: size of the whole file.
        entries: tensors in the order of the header.
    """

    file: str
    data_start: int
    file_bytes: int
    entries: tuple[TensorEntry, ...]


def _invalid(file: str, problem: str, advice: str = _ADVICE) -> InvalidCheckpointError:
    return InvalidCheckpointError(f"{file}: {problem}. {advice}")


def _read_text(path: Path, file: str) -> tuple[bytes, int]:
    """Return the header's JSON text and the size of the file."""
    try:
        with path.open("rb") as stream:
            file_bytes = os.fstat(stream.fileno()).st_size
            prefix = stream.read(max(LENGTH_BYTES, len(_LFS_MAGIC)))
            if prefix.startswith(_LFS_MAGIC):
                raise _invalid(
                    file, "this is a Git LFS pointer, not the weights", "Get the weights with `git lfs pull`."
                )
            if file_bytes < LENGTH_BYTES:
                raise _invalid(file, f"{file_bytes} bytes are too few for a safetensors file")
            length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
            if length > MAX_HEADER_BYTES:
                raise _invalid(file, f"its header claims {length} bytes, the limit is {MAX_HEADER_BYTES}")
            if LENGTH_BYTES + length > file_bytes:
                raise _invalid(file, f"its header claims {length} bytes, the whole file has {file_bytes}")
            stream.seek(LENGTH_BYTES)
            text = stream.read(length)
    except OSError as error:
        raise MissingFileError(f"{file} cannot be read ({error.strerror}). Check its path and permissions.") from error
    if not text.startswith(b"{"):
        raise _invalid(file, "its header does not begin with '{'")
    return text, file_bytes


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_DIMENSION


def _count(shape: list[int], limit: int) -> int:
    """Return the number of elements, or some number above `limit` as soon as it is exceeded."""
    if 0 in shape:
        return 0
    count = 1
    for size in shape:
        count *= size
        if count > limit:
            break
    return count


def _entry(name: str, record: Any, *, file: str, data_start: int, data_bytes: int) -> TensorEntry:
    if not isinstance(record, dict):
        raise _invalid(file, f"the header's record of tensor {name!r} is not an object")
    dtype, shape, offsets = record.get("dtype"), record.get("shape"), record.get("data_offsets")
    if not isinstance(dtype, str):
        raise _invalid(file, f"tensor {name!r} has no dtype")
    if not isinstance(shape, list) or not all(_is_size(size) for size in shape):
        raise _invalid(file, f"tensor {name!r} has the impossible shape {shape!r}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        raise _invalid(file, f"tensor {name!r} has the impossible offsets {offsets!r}")
    start, stop = offsets
    if not start <= stop <= data_bytes:
        raise _invalid(file, f"tensor {name!r} claims bytes {start} to {stop}, the file has {data_bytes} of weights")
    item = item_bytes(dtype, tensor=name, file=file)
    expected = _count(shape, data_bytes) * item
    if expected != stop - start:
        raise _invalid(
            file,
            f"tensor {name!r} of dtype {dtype} and shape {shape} needs {expected} bytes or more, "
            f"its offsets give it {stop - start}",
        )
    return TensorEntry(name, dtype, tuple(shape), file, data_start + start, data_start + stop)


def _check_tiling(header: Header) -> None:
    position, before = header.data_start, "the header"
    for entry in sorted(header.entries, key=lambda entry: (entry.start, entry.stop)):
        if entry.start < position:
            overlap = position - entry.start
            raise _invalid(header.file, f"tensor {entry.name!r} overlaps {before} by {overlap} bytes")
        if entry.start > position:
            hole = entry.start - position
            raise _invalid(header.file, f"{hole} bytes between {before} and tensor {entry.name!r} belong to no tensor")
        position, before = entry.stop, f"tensor {entry.name!r}"
    if position != header.file_bytes:
        rest = header.file_bytes - position
        raise _invalid(header.file, f"{rest} bytes after {before} belong to no tensor")


def read_header(root: Path, file: str) -> Header:
    """Read and check the header of `root / file`; no weights are read.

    Raises:
        MissingFileError: if the file cannot be read.
        InvalidCheckpointError: if the header is truncated, not JSON, or does not tile its file exactly.
        UnsupportedFormatError: if a dtype is unknown or smaller than a byte.
    """
    text, file_bytes = _read_text(root / file, file)
    document = parse_document(text, label=f"the header of {file}")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _invalid(file, "the header's __metadata__ is not a map from text to text")
    data_start = LENGTH_BYTES + len(text)
    data_bytes = file_bytes - data_start
    entries = tuple(
        _entry(name, record, file=file, data_start=data_start, data_bytes=data_bytes)
        for name, record in document.items()
    )
    header = Header(file, data_start, file_bytes, entries)
    _check_tiling(header)
    return header
