"""Writing large files: space reserved at once, bytes at their offsets, everything on the disk before it counts."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mergeguard_hub.checkpoint.header import Header
from mergeguard_hub.checkpoint.tensor_bytes import flat_view
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError, TargetError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Larger writes make Linux keep the file in larger pieces of memory, which took up to five times as long to find.
_CHUNK_BYTES = 512 << 10
_FULL = {errno.ENOSPC, errno.EDQUOT}
# What copy_file_range and posix_fallocate answer where the file system or kernel cannot do it.
_UNSUPPORTED = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.EBADF}


@contextmanager
def target_errors(path: Path, needed_bytes: int) -> Iterator[None]:
    """Turn errors of the operating system while writing into a `TargetError` that a person understands.

    Args:
        path: what is being written, as the person knows it: its place in the target.
        needed_bytes: how many bytes are to be written; 0 if that is not known.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(path, needed_bytes) from error
        if error.errno == errno.EFBIG:
            raise TargetError(
                f"{path}: {needed_bytes} bytes are more than one file may have here. "
                "Raise the limit (`ulimit -f`), or choose a file system for large files."
            ) from error
        raise TargetError(
            f"{path} cannot be written ({error.strerror}). Check the permissions and the disk of the target."
        ) from error


@contextmanager
def opened(path: Path, place: Path, needed_bytes: int) -> Iterator[int]:
    """Open an existing file for writing and yield its descriptor; `place` is its path for messages."""
    with target_errors(place, needed_bytes):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def whole(path: Path, place: Path, needed_bytes: int) -> Iterator[None]:
    """Remove a new file again if writing it fails half-way; `place` is its path for messages."""
    try:
        with target_errors(place, needed_bytes):
            yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(next(parent for parent in path.parents if parent.exists())).free


def disk_full(path: Path, needed_bytes: int) -> TargetError:
    """Return the error that says how much is needed and how much there is."""
    needed = f"{path} needs {needed_bytes} more bytes" if needed_bytes else f"The disk of {path} is full"
    return TargetError(f"{needed} and {_free_bytes(path)} are free. Free space, or choose another target disk.")


def require_space(path: Path, needed_bytes: int) -> None:
    """Refuse before writing what the disk of `path` plainly has no room for.

    Raises:
        TargetError: if fewer than `needed_bytes` are free.
    """
    if _free_bytes(path) < needed_bytes:
        raise disk_full(path, needed_bytes)


def reserve(descriptor: int, size: int) -> None:
    """Give an empty file `size` bytes, reserved on the disk where the system can, so that a full disk shows now."""
    if size == 0:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    os.ftruncate(descriptor, size)


def open_source(path: Path) -> BinaryIO:
    """Open a file of the source for reading.

    Raises:
        MissingFileError: if it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror}). Was it deleted?") from error


def create_like(source: Path, header: Header, path: Path) -> None:
    """Create a weight file with the header of `source`, byte for byte, and room for its tensors.

    Raises:
        MissingFileError: if the source is gone.
        InvalidCheckpointError: if it has become shorter than its header.
        OSError: if the disk is full.
    """
    with open_source(source) as stream:
        head = stream.read(header.data_start)
    if len(head) != header.data_start:
        raise InvalidCheckpointError(f"{source} has shrunk since it was opened. Wait until it is whole again.")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        reserve(descriptor, header.file_bytes)
        write_at(descriptor, head, 0)
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: Buffer, position: int) -> None:
    """Write all bytes of a contiguous buffer at an offset, without moving the file's position."""
    with flat_view(data) as flat:
        done = 0
        while done < len(flat):
            done += os.pwrite(descriptor, flat[done : done + _CHUNK_BYTES], position + done)


def copy_range(source: int, target: int, start: int, stop: int) -> int:
    """Copy the bytes start..stop between two files inside the kernel, as far as it can.

    Returns:
        The offset that was reached: `stop`, or less where the system cannot do it and the caller must go on.
    """
    if not hasattr(os, "copy_file_range"):
        return start
    while start < stop:
        try:
            count = os.copy_file_range(source, target, stop - start, start, start)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return start
            raise
        if count == 0:
            return start
        start += count
    return start


def sync_tree(root: Path, *, files: bool = True) -> None:
    """Wait until every file and folder below `root`, and `root` itself, is on the disk; what vanishes is left out.

    Args:
        root: the folder.
        files: whether to wait for the contents of files too.
    """
    for folder, _, names in os.walk(root, topdown=False):
        paths = [os.path.join(folder, name) for name in names] if files else []
        for path in [*paths, folder]:
            if not os.path.islink(path) and (path == folder or os.path.isfile(path)):
                with suppress(FileNotFoundError):
                    sync(path)


def sync(path: str | Path) -> None:
    """Wait until a file, or the list of a folder's names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)
