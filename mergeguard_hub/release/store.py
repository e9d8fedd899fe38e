"""Write every tensor of a component into the staged folder, moved as the plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.streaming import stored_pieces
from mergeguard_hub.checkpoint import Checkpoint, Slot, StagedFolder, TensorDigest, TensorEntry, tensor_bytes
from mergeguard_hub.release.spread import spread


def store(
    checkpoint: Checkpoint,
    plan: Plan,
    staged: StagedFolder,
    *,
    subfolder: str,
    executor: Executor | None,
    done: Callable[[TensorEntry], None],
    digest: bool = False,
) -> dict[str, str]:
    """Write all tensors, file by file, the largest of each first so that parallel workers end together.

    Args:
        checkpoint: where the original tensors are read from.
        plan: what happens to them.
        staged: where they go, at the offsets they have in `checkpoint`.
        subfolder: the component's folder, "" for a plain model folder.
        executor: threads or processes that write, or None to work in this thread.
        done: called after each tensor.
        digest: whether to hash what is written on the way, which is cheaper than reading it again.

    Returns:
        Tensor name -> digest of what was written, for `combine_digests`; empty unless asked for.
    """
    staged.allocate(checkpoint, subfolder)
    entries = sorted(checkpoint.entries.values(), key=lambda entry: (entry.file, -entry.nbytes))
    tasks = [_Task(staged.slot(entry, subfolder), plan.part(entry.name), digest) for entry in entries]
    digests = {}
    for entry, (nbytes, found) in zip(entries, spread(store_tensor, checkpoint, tasks, executor), strict=True):
        staged.written(entry, nbytes, subfolder=subfolder)
        if found is not None:
            digests[entry.name] = found
        done(entry)
    return digests


@dataclass(frozen=True, eq=False)
class _Task:
    """One tensor: where it goes, as much of the plan as concerns it, and whether to hash it."""

    slot: Slot
    plan: Plan
    digest: bool


def store_tensor(checkpoint: Checkpoint, task: _Task) -> tuple[int, str | None]:
    """Write one tensor, in pieces where the plan allows it; runs in any process.

    Returns:
        How many bytes were written, and their `TensorDigest` if that was asked for.
    """
    entry = task.slot.entry
    state = TensorDigest(entry.name, entry.dtype, entry.shape) if task.digest else None
    source = task.plan.source.get(entry.name, entry.name)
    if source == entry.name and not task.plan.axes_of(entry.name):
        if state is not None:
            state.update(checkpoint.raw(entry.name))
        nbytes = task.slot.copy(checkpoint)
    else:
        nbytes = task.slot.write(_hashed(stored_bytes(task.plan, entry.name, checkpoint), state))
    return nbytes, None if state is None else state.hexdigest()


def stored_bytes(plan: Plan, name: str, checkpoint: Checkpoint) -> Iterator[memoryview]:
    """Yield the bytes that will be stored under `name`; each piece is only valid until the next one is asked for."""
    for piece in stored_pieces(plan, name, checkpoint.tensor(plan.source.get(name, name))):
        yield tensor_bytes(piece)


def _hashed(pieces: Iterator[memoryview], state: TensorDigest | None) -> Iterator[memoryview]:
    for piece in pieces:
        if state is not None:
            state.update(piece)
        yield piece


def open_weights(like: Checkpoint, root: Path) -> Checkpoint:
    """Return the weights under `root`, written at the same offsets as `like`, without reading headers again."""
    return Checkpoint(
        root,
        config=like.config,
        headers=like.headers,
        entries=like.entries,
        index_file=like.index_file,
        side_files=like.side_files,
    )
