"""Writing a folder of weights so that a reader finds either none of it or all of it."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mergeguard_hub.checkpoint.appear import appear
from mergeguard_hub.checkpoint.early_sync import EarlySync
from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.folder import Checkpoint
from mergeguard_hub.checkpoint.ledger import Ledger
from mergeguard_hub.checkpoint.paths import inside
from mergeguard_hub.checkpoint.slot import Slot
from mergeguard_hub.checkpoint.staging import make_parents, make_staging, remove_staging, unlock
from mergeguard_hub.checkpoint.storage import (
    create_like,
    open_source,
    require_space,
    sync_tree,
    target_errors,
    whole,
)
from mergeguard_hub.checkpoint.target import check_target
from mergeguard_hub.errors import CheckpointError, TargetError

if TYPE_CHECKING:
    from typing_extensions import Buffer


class StagedFolder:
    """A folder that is put together in private and then appears under its name in one step.

    Used as a context manager. If the block ends well, `commit` is called; if it raises anything, or the process is
    killed at any moment, the target is what it was before, and the sources are only ever read. What a killed run
    leaves is a hidden folder beside the target, which the next run for the same target removes.

    Attributes:
        target: where the folder will be, links resolved.
        path: the private folder while it is put together, mode 0700, on the same file system.
    """

    path: Path

    def __init__(self, target: Path, *, sources: Sequence[Path] = (), replace: bool = False) -> None:
        """Check the target; nothing is written yet.

        Args:
            target: a folder that does not exist, or is empty.
            sources: folders that are read meanwhile, which the target must be apart from.
            replace: also accept a target with files. Those that the new folder lacks are carried over, except
                stale weights of the same model.

        Raises:
            TargetError: if the target may not be written.
        """
        self._sources, self._replace = tuple(sources), replace
        self.target = check_target(Path(target), self._sources, replace=replace)
        self._ledger = Ledger()
        self._weight_files: set[str] = set()
        self._descriptor: int | None = None
        self._early = EarlySync()

    def __enter__(self) -> StagedFolder:
        with target_errors(self.target, 0):
            self._made = make_parents(self.target)
            try:
                self.path, self._descriptor, self._mode = make_staging(self.target)
            except BaseException:
                for parent in reversed(self._made):
                    parent.rmdir()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._descriptor is not None:
                self.commit()
        finally:
            self._close()

    def allocate(self, checkpoint: Checkpoint, subfolder: str = "") -> None:
        """Create each weight file with its header and full size, and the index, as `checkpoint` has them.

        Every tensor must then be written, or `commit` refuses.

        Args:
            checkpoint: whose layout the new files get.
            subfolder: where they go in the target, "" for its top.

        Raises:
            TargetError: if the disk has no room for them.
        """
        require_space(self.target, sum(header.file_bytes for header in checkpoint.headers.values()))
        for file, header in checkpoint.headers.items():
            relative = self._relative(subfolder, file)
            path = self._new_path(relative)
            with target_errors(self.target / relative, header.file_bytes):
                create_like(checkpoint.root / file, header, path)
            self._weight_files.add(relative)
        if checkpoint.index_file is not None:
            self.copy_file(checkpoint.root / checkpoint.index_file, self._relative(subfolder, checkpoint.index_file))
        self._ledger.add(checkpoint, subfolder)

    def write(self, entry: TensorEntry, data: Buffer, *, offset: int = 0, subfolder: str = "") -> None:
        """Write bytes of one tensor where its entry says. Threads may write at the same time.

        Args:
            entry: an entry of a checkpoint given to `allocate`.
            data: a contiguous buffer (see `tensor_bytes`), the whole tensor or a part of it; it is not copied.
            offset: in bytes, where in the tensor the part begins.
            subfolder: as given to `allocate`.

        Raises:
            CheckpointError: if the tensor was not allocated, or the bytes reach beyond it.
            TargetError: if the disk is full or fails.
        """
        self.written(entry, self.slot(entry, subfolder).write([data], offset=offset), subfolder=subfolder)

    def copy_tensor(self, checkpoint: Checkpoint, entry: TensorEntry, subfolder: str = "") -> None:
        """Copy one tensor as it is, inside the kernel where that is possible, else from the mapped file.

        Args:
            checkpoint: the checkpoint given to `allocate`, or one that has the tensor at the same place.
            entry: which tensor.
            subfolder: as given to `allocate`.

        Raises:
            CheckpointError: as `write`.
        """
        self.written(entry, self.slot(entry, subfolder).copy(checkpoint), subfolder=subfolder)

    def slot(self, entry: TensorEntry, subfolder: str = "") -> Slot:
        """Return the place of one tensor, for whoever writes it elsewhere, say in another process.

        Args:
            entry: an entry of a checkpoint given to `allocate`.
            subfolder: as given to `allocate`.

        Raises:
            CheckpointError: if the tensor was not allocated.
        """
        self._require_open()
        self._ledger.require(entry, subfolder)
        path = self.path / self._relative(subfolder, entry.file)
        return Slot(path, self._place(path), entry)

    def written(self, entry: TensorEntry, nbytes: int, *, subfolder: str = "") -> None:
        """Note that so many bytes of a tensor were written to its slot; once all of a file are, its sync begins.

        Args:
            entry: an entry of a checkpoint given to `allocate`.
            nbytes: as `Slot.write` and `Slot.copy` return it.
            subfolder: as given to `allocate`.
        """
        if self._ledger.count(entry, subfolder, nbytes):
            self._early.begin(self.path / self._relative(subfolder, entry.file))

    def copy_file(self, source: Path, relative: str) -> None:
        """Copy a file as it is; a link is followed.

        Args:
            source: the file.
            relative: where it goes, relative POSIX path.

        Raises:
            MissingFileError: if the source cannot be read.
            TargetError: if `relative` is taken, or the disk is full.
        """
        with open_source(source) as stream:
            size = os.fstat(stream.fileno()).st_size
        path = self._new_path(relative)
        with whole(path, self._place(path), size):
            shutil.copyfile(source, path)

    def write_text(self, relative: str, text: str) -> None:
        """Write a new text file in UTF-8 with the line ends that `text` has. Errors as `copy_file`."""
        path = self._new_path(relative)
        data = text.encode("utf-8")
        with whole(path, self._place(path), len(data)):
            path.write_bytes(data)

    def commit(self) -> None:
        """Bring everything to the disk and the folder to its name. Called when the block ends well.

        Raises:
            CheckpointError: if a tensor was not written whole.
            TargetError: if the target has changed meanwhile, or the disk fails.
        """
        self._require_open()
        self._ledger.require_complete()
        check = functools.partial(check_target, self.target, self._sources, replace=self._replace)
        with target_errors(self.target, 0):
            self._early.finish()
            sync_tree(self.path)  # before the old target is looked at: it takes long, and others may write there
            appear(self.path, self.target, self._weight_files, mode=self._mode, check=check)
        self._made = []
        self._close()

    def _close(self) -> None:
        """Remove what is left of the staging folder, then give up its lock."""
        self._early.close()
        if self._descriptor is not None:
            remove_staging(self.path, self._made)
            unlock(self._descriptor)
            self._descriptor = None

    def _require_open(self) -> None:
        if self._descriptor is None:
            raise CheckpointError(f"The staged folder for {self.target} is not open. Use it in a `with` statement.")

    def _relative(self, subfolder: str, file: str) -> str:
        return f"{subfolder}/{file}" if subfolder else file

    def _new_path(self, relative: str) -> Path:
        self._require_open()
        path = self.path / inside(relative, label="The caller of StagedFolder")
        if os.path.lexists(path):
            raise TargetError(f"{relative} was already written to {self.target}. Write each file once.")
        with target_errors(self._place(path), 0):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _place(self, path: Path) -> Path:
        """Return where a staged file will be, which is what a person knows it by."""
        return self.target / path.relative_to(self.path)
