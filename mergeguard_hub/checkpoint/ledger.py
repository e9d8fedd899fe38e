"""Which bytes of a release are still to be written, so that none is forgotten and left zero."""

from __future__ import annotations

import threading

from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.folder import Checkpoint
from mergeguard_hub.checkpoint.inventory import shown
from mergeguard_hub.errors import CheckpointError


class Ledger:
    """Counts the bytes written of each allocated tensor. Safe to share between threads."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], TensorEntry] = {}  # by subfolder and name
        self._missing: dict[tuple[str, str], int] = {}  # bytes
        self._files: dict[tuple[str, str], int] = {}  # bytes, by subfolder and file
        self._lock = threading.Lock()

    def add(self, checkpoint: Checkpoint, subfolder: str) -> None:
        """Expect all tensors of a checkpoint."""
        with self._lock:
            for entry in checkpoint.entries.values():
                self._entries[subfolder, entry.name] = entry
                self._missing[subfolder, entry.name] = entry.nbytes
                file = subfolder, entry.file
                self._files[file] = self._files.get(file, 0) + entry.nbytes

    def require(self, entry: TensorEntry, subfolder: str) -> None:
        """Refuse a tensor that is not expected, or not there.

        Raises:
            CheckpointError: if its checkpoint was not allocated, or another one with a tensor of that name.
        """
        expected = self._entries.get((subfolder, entry.name))
        if expected is None:
            where = f" in {subfolder!r}" if subfolder else ""
            raise CheckpointError(f"Tensor {entry.name!r} was not allocated{where}. Call allocate with its checkpoint.")
        if expected != entry:
            raise CheckpointError(
                f"Tensor {entry.name!r} was allocated as {expected}, not as {entry}. "
                "Use the entries of the checkpoint that was allocated."
            )

    def count(self, entry: TensorEntry, subfolder: str, nbytes: int) -> bool:
        """Note that so many bytes of a tensor were written, and return whether its file is full now."""
        with self._lock:
            self._missing[subfolder, entry.name] -= nbytes
            self._files[subfolder, entry.file] -= nbytes
            return nbytes > 0 and self._files[subfolder, entry.file] == 0

    def require_complete(self) -> None:
        """Refuse to finish while a tensor lacks bytes.

        Raises:
            CheckpointError: naming the first such tensors.
        """
        missing = [
            f"{subfolder}/{name}".lstrip("/") for (subfolder, name), nbytes in self._missing.items() if nbytes > 0
        ]
        if missing:
            raise CheckpointError(
                f"{len(missing)} tensors were not written whole: {shown(missing)}. Nothing was published. "
                "The caller of StagedFolder must write or copy every tensor that it allocates."
            )
