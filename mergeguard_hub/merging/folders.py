"""Merging model folders and pipelines of any size, a tensor or a piece of one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mergeguard_hub.checkpoint import (
    LEFT_OUT,
    Checkpoint,
    CheckpointTensors,
    Slot,
    StagedFolder,
    TensorEntry,
    pipeline_files,
    tensor_bytes,
)
from mergeguard_hub.merging.inputs import CLAIMS, Inputs, open_inputs
from mergeguard_hub.merging.layout import ARITHMETIC
from mergeguard_hub.merging.method import MergeMethod, TensorMerge
from mergeguard_hub.merging.pieces import PIECE_ELEMENTS, hold_memory
from mergeguard_hub.merging.tensors import merged_tensor

ProgressFunction = Callable[[str, int, int, str], object]
"""Told of every step: phase ("prepare", "merge"), bytes done, bytes in all, name of the tensor or component."""

_CONFIG = "config.json"
_MOST_WORKERS = 4  # by default; more would wait for memory and the disk, our choice
_CHUNK = 8  # tensors sent to another process at a time, our choice


@dataclass(frozen=True)
class FolderMerge:
    """What `merge_folders` wrote.

    Attributes:
        target: the folder.
        method: title of the merge method.
        tensors: how many tensors were merged; those that are not floating point were copied from the base.
        nbytes: size of all weights.
    """

    target: Path
    method: str
    tensors: int
    nbytes: int


def merge_folders(
    method: MergeMethod,
    *,
    base: str | Path,
    models: Sequence[str | Path],
    target: str | Path,
    workers: int | None = None,
    executor: Executor | None = None,
    replace: bool = False,
    force: bool = False,
    progress: ProgressFunction | None = None,
) -> FolderMerge:
    """Merge model folders, or diffusers pipelines component by component, into a new folder.

    Everything but weights is the base's: files, shards, names, dtypes, config, tokenizer; an elementwise method needs
    memory for a piece of a tensor of each model, any other for a tensor of each in float32, whatever the size of the
    models. A protection's record or claim in the base is not passed on: the merge is no release. The target appears
    whole or not at all.

    Args:
        method: a merge method with its settings. What it looks for in a whole model, TIES for one, it looks for in
            each component of a pipeline on its own.
        base: folder of the base model; of a method that does not need it, any folder of the same layout.
        models: folders of the fine-tuned models, in the order of the method's weights.
        target: folder to write; must not exist or be empty unless `replace`.
        workers: threads that merge tensors; by default one per processor, at most four.
        executor: what merges tensors instead, any `concurrent.futures.Executor`.
        replace: accept a target with files, and replace the weights in it.
        force: merge also what has other architectures, vocabularies or keys, as long as the tensors fit.
        progress: see `ProgressFunction`.

    Raises:
        MergeError: the models do not fit together, or the method cannot merge them; nothing is written.
        CheckpointError: a folder cannot be read or written, or a weight is NaN or infinite; nothing is left.
    """
    source, others = Path(base).absolute(), [Path(model).absolute() for model in models]
    inputs = open_inputs(source, others, force=force)
    total = sum(checkpoint.nbytes for checkpoint in inputs.base.values())
    tell = progress or (lambda phase, done, total, item: None)
    done = 0
    with (
        StagedFolder(Path(target), sources=(source, *others), replace=replace) as staged,
        _threads(workers, executor, elementwise=method.elementwise) as pool,
    ):
        for name in inputs.base:
            tell("prepare", done, total, name)
            first, rest = inputs.of(name)
            merge = method.prepare(CheckpointTensors(first), [CheckpointTensors(model) for model in rest])
            staged.allocate(first, name)
            work = partial(_write, first, rest, merge, method.elementwise)
            for entry, nbytes in _merged(work, staged, first, name, pool):
                staged.written(entry, nbytes, subfolder=name)
                done += nbytes
                tell("merge", done, total, entry.name)
        _copy_files(source, inputs, staged)
    count = sum(entry.torch_dtype in ARITHMETIC for part in inputs.base.values() for entry in part.entries.values())
    return FolderMerge(Path(target), method.title, count, total)


def _merged(
    work: Callable[[Slot], int], staged: StagedFolder, checkpoint: Checkpoint, subfolder: str, pool: Executor | None
) -> Iterator[tuple[TensorEntry, int]]:
    """Write all tensors, file by file, the largest of each first so that parallel workers end together."""
    entries = sorted(checkpoint.entries.values(), key=lambda entry: (entry.file, -entry.nbytes))
    slots = [staged.slot(entry, subfolder) for entry in entries]
    written = map(work, slots) if pool is None else pool.map(work, slots, chunksize=_CHUNK)
    return zip(entries, written, strict=True)


def _write(base: Checkpoint, models: Sequence[Checkpoint], merge: TensorMerge, elementwise: bool, slot: Slot) -> int:
    """Merge one tensor into its place and return its size in bytes; runs in any process."""
    entry = slot.entry
    if entry.torch_dtype not in ARITHMETIC:
        return slot.copy(base)
    tensors = [checkpoint.tensor(entry.name) for checkpoint in (base, *models)]
    if not elementwise:
        return slot.write([tensor_bytes(merged_tensor(merge, entry.name, tensors[0], tensors[1:]))])
    return slot.write(_pieces(merge, entry.name, [tensor.reshape(-1) for tensor in tensors]))


def _pieces(merge: TensorMerge, name: str, flat: Sequence[Tensor]) -> Iterator[memoryview]:
    hold_memory()
    for start in range(0, flat[0].numel(), PIECE_ELEMENTS):
        first, *others = (tensor[start : start + PIECE_ELEMENTS] for tensor in flat)
        yield tensor_bytes(merged_tensor(merge, name, first, others))


def _copy_files(source: Path, inputs: Inputs, staged: StagedFolder) -> None:
    for name, checkpoint in inputs.base.items():
        for file in checkpoint.side_files:
            relative = f"{name}/{file}" if name else file
            if file == _CONFIG and any(key in checkpoint.config for key in CLAIMS):
                config = {key: value for key, value in checkpoint.config.items() if key not in CLAIMS}
                staged.write_text(relative, json.dumps(config, indent=2) + "\n")
            else:
                staged.copy_file(checkpoint.root / file, relative)
    if set(inputs.base) != {""}:
        for file in pipeline_files(source, inputs.base, exclude=LEFT_OUT):
            staged.copy_file(source / file, file)


@contextmanager
def _threads(workers: int | None, given: Executor | None, *, elementwise: bool) -> Iterator[Executor | None]:
    """Give the executor of one run; its own threads start nothing more once the run has failed.

    What torch has in threads of its own is shared out among the workers. Pieces are too small to be worth several:
    the threads would mostly wait for each other, and on a busy machine burn many times the work doing so.
    """
    count = 1 if given is not None else min(_MOST_WORKERS, os.cpu_count() or 1) if workers is None else workers
    inner = torch.get_num_threads()
    share = 1 if elementwise else max(1, inner // max(1, count))
    torch.set_num_threads(share)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(share,)) if count > 1 else None
    try:
        yield given if pool is None else pool
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        torch.set_num_threads(inner)
