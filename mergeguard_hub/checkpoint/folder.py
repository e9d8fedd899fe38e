"""One model folder, opened lazily: headers are read and checked, weights only on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mergeguard_hub.checkpoint.digest import combine_digests, stored_digest
from mergeguard_hub.checkpoint.document import read_document
from mergeguard_hub.checkpoint.entry import TensorEntry
from mergeguard_hub.checkpoint.header import Header
from mergeguard_hub.checkpoint.inventory import check_folder, list_files
from mergeguard_hub.checkpoint.mapping import FileMapping
from mergeguard_hub.checkpoint.quantised import refuse_quantised
from mergeguard_hub.checkpoint.weight_set import find_weight_set
from mergeguard_hub.errors import MissingFileError

CONFIG = "config.json"


class Checkpoint:
    """The weights and files of one model folder. Made by `Checkpoint.open`; safe to share between threads.

    It can be pickled for a process pool: the files are mapped again on the other side.

    Attributes:
        root: the folder.
        config: parsed config.json; {} if there is none.
        entries: tensor name -> entry, sorted by name.
        headers: weight file -> its checked header.
        index_file: the *.safetensors.index.json, None if there is a single weight file.
        side_files: every other file below root, config.json included, relative POSIX paths.
    """

    def __init__(
        self,
        root: Path,
        *,
        config: dict[str, Any],
        headers: dict[str, Header],
        entries: dict[str, TensorEntry],
        index_file: str | None,
        side_files: tuple[str, ...],
    ) -> None:
        self.root = root
        self.config = config
        self.headers = headers
        self.entries = entries
        self.index_file = index_file
        self.side_files = side_files
        self._mappings: dict[str, FileMapping] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, root: Path, *, exclude: Sequence[str] = (), prefix: str = "") -> Checkpoint:
        """Read and check the headers of a model folder.

        Args:
            root: folder with one set of safetensors weights at its top.
            exclude: `fnmatch` patterns on relative POSIX paths, of files to leave out of a release on purpose.
            prefix: path of `root` in the pipeline folder that `exclude` is relative to, ending in "/".

        Raises:
            MissingFileError: no folder, no weights, or a missing shard or index.
            UnsupportedFormatError: pickles, quantised weights, unknown dtypes, or weights beside the set.
            InvalidCheckpointError: a lying or truncated header, index or config.json.
            UnsafePathError: an index or a link that leads outside.
        """
        root = Path(root)
        check_folder(root)
        files = list_files(root, exclude=exclude, prefix=prefix)
        config = read_document(root / CONFIG, label=str(root / CONFIG)) if CONFIG in files else {}
        weights = find_weight_set(root, files)
        entries = weights.entries
        refuse_quantised(config, entries.values(), label=str(root))
        taken = {weights.index, *weights.headers}
        return cls(
            root,
            config=config,
            headers=weights.headers,
            entries=entries,
            index_file=weights.index,
            side_files=tuple(file for file in files if file not in taken),
        )

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.root)!r}, {len(self.entries)} tensors, {self.nbytes} bytes)"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in {"_mappings", "_lock"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _mappings={}, _lock=threading.Lock())

    @property
    def weight_files(self) -> tuple[str, ...]:
        """The weight files, sorted, as relative POSIX paths."""
        return tuple(self.headers)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(entry.nbytes for entry in self.entries.values())

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor without a copy: a view of the memory-mapped file, by convention read-only.

        Writing into it would change private memory of this process, never the file.

        Raises:
            MissingFileError: if there is no such tensor, or its file has gone.
            InvalidCheckpointError: if the file has changed its size since it was opened.
        """
        entry = self._entry(name)
        return self._mapping(entry.file).tensor(entry)

    def raw(self, name: str) -> memoryview:
        """Return a tensor's bytes, read-only, from the same mapping. Errors as `tensor`."""
        entry = self._entry(name)
        return self._mapping(entry.file).raw(entry)

    def digest(self, *, executor: Executor | None = None, progress: Callable[[TensorEntry], None] | None = None) -> str:
        """Return "sha256:<hex>" over all tensors, the same however they are cut into files.

        Args:
            executor: where tensors are hashed, threads or processes; None for this thread.
            progress: called in this thread after each tensor.
        """
        run = executor.map if executor is not None else map
        digests = {}
        for entry, digest in zip(
            self.entries.values(),
            run(partial(stored_digest, self.root.absolute()), self.entries.values()),
            strict=True,
        ):
            digests[entry.name] = digest
            if progress is not None:
                progress(entry)
        return combine_digests(digests)

    def _entry(self, name: str) -> TensorEntry:
        try:
            return self.entries[name]
        except KeyError:
            raise MissingFileError(
                f"{self.root} has no tensor {name!r}. Its first names are {list(self.entries)[:3]}: check the spelling."
            ) from None

    def _mapping(self, file: str) -> FileMapping:
        with self._lock:
            if file not in self._mappings:
                self._mappings[file] = FileMapping(self.root, self.headers[file])
            return self._mappings[file]
