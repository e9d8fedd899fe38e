"""A weight file mapped into memory: tensors without a copy."""

from __future__ import annotations

import errno
import mmap
import os
import platform
import sys
from pathlib import Path

import torch

from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.header import Header
from mergeguard_hub.errors import CheckpointError, InvalidCheckpointError, MissingFileError

# Without it the kernel refuses to map a file larger than the memory of the machine in a private, writable way.
# Python's mmap module names it from 3.12 on only.
_COMMON = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}
_NO_RESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000 if _COMMON else 0)


class FileMapping:
    """One weight file, mapped privately: reading shares the page cache, writing would never reach the file.

    The mapping is writable because torch warns about buffers that are not; nothing here writes to it. It lives as
    long as this object or any tensor made from it. A file that shrinks while mapped ends the process (SIGBUS), as
    with every memory-mapped reader.
    """

    def __init__(self, root: Path, header: Header) -> None:
        """Map `root / header.file`.

        Raises:
            MissingFileError: if the file is gone or unreadable.
            InvalidCheckpointError: if its size is no longer the one that the header was checked against.
        """
        self._buffer = memoryview(b"")
        try:
            with (root / header.file).open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if size != header.file_bytes:
                    raise InvalidCheckpointError(
                        f"{header.file} had {header.file_bytes} bytes when it was opened and has {size} now. "
                        "Something is writing to it: wait until it has finished."
                    )
                if size > header.data_start:
                    flags, prot = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
                    self._buffer = memoryview(mmap.mmap(stream.fileno(), size, flags=flags, prot=prot))
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise CheckpointError(
                    f"{header.file} ({header.file_bytes} bytes) cannot be mapped: the process may not have that much "
                    "address space. Raise the limit (`ulimit -v`)."
                ) from error
            raise MissingFileError(f"{header.file} cannot be read ({error.strerror}). Was it deleted?") from error

    def raw(self, entry: TensorEntry) -> memoryview:
        """Return the tensor's bytes, read-only."""
        return self._buffer[entry.start : entry.stop].toreadonly()

    def tensor(self, entry: TensorEntry) -> torch.Tensor:
        """Return the tensor as a view of the mapping, by convention read-only.

        Only where a file lays a tensor at an odd address, which safetensors itself does not, its bytes are copied.
        """
        if entry.nbytes == 0:
            return torch.empty(entry.shape, dtype=entry.torch_dtype)
        window = self._buffer[entry.start : entry.stop]
        if entry.start % (entry.nbytes // entry.numel) == 0:
            return torch.frombuffer(window, dtype=entry.torch_dtype).reshape(entry.shape)
        copied = torch.frombuffer(window, dtype=torch.uint8).clone()
        return copied.view(entry.torch_dtype).reshape(entry.shape)
