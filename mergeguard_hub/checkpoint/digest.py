"""Digests of weights that do not depend on how a checkpoint is cut into files."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.tensor_bytes import flat_view
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CHUNK_BYTES = 16 << 20  # between chunks a keyboard interrupt gets through


class TensorDigest:
    """The SHA-256 of one tensor over its name, dtype, shape and bytes, which may come in pieces.

    Name, dtype and shape go in as JSON text behind its own length, so no two tensors share an encoding. The lock of
    the interpreter is released while bytes are hashed: threads run in parallel.
    """

    def __init__(self, name: str, dtype: str, shape: Sequence[int]) -> None:
        """Start with no bytes.

        Args:
            name: name in the checkpoint.
            dtype: safetensors code, for example "BF16".
            shape: sizes of the dimensions.
        """
        label = json.dumps([name, dtype, [int(size) for size in shape]], separators=(",", ":")).encode("ascii")
        self._state = hashlib.sha256(b"mergeguard tensor v1\0" + len(label).to_bytes(8, "little") + label)

    def update(self, data: Buffer) -> None:
        """Add the next bytes, in row-major, little-endian order; any contiguous buffer."""
        with flat_view(data) as flat:
            for start in range(0, len(flat), _CHUNK_BYTES):
                self._state.update(flat[start : start + _CHUNK_BYTES])

    def hexdigest(self) -> str:
        """Return the digest of what was added so far, 64 hex digits."""
        return self._state.hexdigest()


def tensor_digest(name: str, dtype: str, shape: Sequence[int], data: Buffer) -> str:
    """Return the `TensorDigest` of a tensor whose bytes are all at hand, 64 hex digits.

    Args:
        name: name in the checkpoint.
        dtype: safetensors code, for example "BF16".
        shape: sizes of the dimensions.
        data: the tensor's bytes in row-major, little-endian order; any contiguous buffer.
    """
    digest = TensorDigest(name, dtype, shape)
    digest.update(data)
    return digest.hexdigest()


def stored_digest(root: Path, entry: TensorEntry) -> str:
    """Return the `tensor_digest` of a tensor on disk. Needs no open checkpoint, so it can run in any process.

    Args:
        root: the folder that `entry.file` is relative to.
        entry: which tensor.

    Raises:
        MissingFileError: if the file is gone or unreadable.
        InvalidCheckpointError: if it has become too short.
    """
    base = entry.start - entry.start % mmap.ALLOCATIONGRANULARITY
    try:
        with (root / entry.file).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < entry.stop:
                raise InvalidCheckpointError(
                    f"{entry.file} has {size} bytes, tensor {entry.name!r} ends at {entry.stop}. "
                    "Something is writing to the file: wait until it has finished."
                )
            if entry.nbytes == 0:
                return tensor_digest(entry.name, entry.dtype, entry.shape, b"")
            length = entry.stop - base
            with (
                mmap.mmap(stream.fileno(), length, offset=base, access=mmap.ACCESS_READ) as mapping,
                memoryview(mapping) as view,
                view[entry.start - base :] as data,
            ):
                return tensor_digest(entry.name, entry.dtype, entry.shape, data)
    except OSError as error:
        raise MissingFileError(f"{entry.file} cannot be read ({error.strerror}). Was it deleted?") from error


def combine_digests(digests: Mapping[str, str]) -> str:
    """Return "sha256:<hex>" over the sorted pairs of tensor name and digest.

    >>> combine_digests({"a": "1", "b": "2"}) == combine_digests({"b": "2", "a": "1"})
    True
    """
    pairs = json.dumps(sorted(digests.items()), separators=(",", ":")).encode("ascii")
    return "sha256:" + hashlib.sha256(b"mergeguard checkpoint v1\0" + pairs).hexdigest()
