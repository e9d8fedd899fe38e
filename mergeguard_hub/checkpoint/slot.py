"""The place of one tensor in a staged folder, which can be sent to another process that writes there itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.folder import Checkpoint
from mergeguard_hub.checkpoint.storage import copy_range, open_source, opened, write_at
from mergeguard_hub.errors import CheckpointError

if TYPE_CHECKING:
    from typing_extensions import Buffer


@dataclass(frozen=True)
class Slot:
    """Room for one tensor in a file that exists at its full size.

    Attributes:
        path: the staged file.
        place: where that file will be, which is what a person knows it by.
        entry: the tensor.
    """

    path: Path
    place: Path
    entry: TensorEntry

    def write(self, pieces: Iterable[Buffer], *, offset: int = 0) -> int:
        """Write contiguous buffers one after another and return how many bytes they had; none is kept.

        Args:
            pieces: the tensor's bytes, whole or a part of them.
            offset: in bytes, where in the tensor the first piece begins.

        Raises:
            CheckpointError: if the bytes reach beyond the tensor.
            TargetError: if the disk is full or fails.
        """
        begin = offset
        with opened(self.path, self.place, self.entry.nbytes) as descriptor:
            for piece in pieces:
                with memoryview(piece) as view:
                    end = offset + view.nbytes
                    if offset < 0 or end > self.entry.nbytes:
                        raise CheckpointError(
                            f"Tensor {self.entry.name!r} has {self.entry.nbytes} bytes, bytes {offset} to {end} were "
                            "to be written. Its shape or dtype has changed: a stage must keep both."
                        )
                    write_at(descriptor, view, self.entry.start + offset)
                offset = end
        return offset - begin

    def copy(self, checkpoint: Checkpoint) -> int:
        """Copy the tensor as it is, inside the kernel where that is possible, and return its size in bytes.

        Args:
            checkpoint: a checkpoint that has the tensor at the same place in a file of the same name.

        Raises:
            CheckpointError: if it has it elsewhere.
            MissingFileError: if the tensor or its file is gone.
            TargetError: if the disk is full or fails.
        """
        data, entry = checkpoint.raw(self.entry.name), self.entry
        if checkpoint.entries[entry.name] != entry:
            raise CheckpointError(
                f"Tensor {entry.name!r} is elsewhere in {checkpoint.root} than in {self.place.parent}. "
                "Use write with its bytes: only a tensor at the same place can be copied."
            )
        with (
            open_source(checkpoint.root / entry.file) as source,
            opened(self.path, self.place, entry.nbytes) as descriptor,
        ):
            reached = copy_range(source.fileno(), descriptor, entry.start, entry.stop)
            write_at(descriptor, data[reached - entry.start :], reached)
        return entry.nbytes
