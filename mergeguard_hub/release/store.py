"""Write every tensor of a component into the staged folder, moved as the plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.scaling import Room
from mergeguard_hub.architecture.streaming import PIECE_BYTES, stored_pieces
from mergeguard_hub.checkpoint import Checkpoint, Slot, StagedFolder, TensorDigest, TensorEntry, tensor_bytes
from mergeguard_hub.release.spread import spread

FILES_AT_ONCE = 2  # threads that write to one file wait for each other; our choice, other numbers were not compared


def store(
    checkpoint: Checkpoint,
    plan: Plan,
    staged: StagedFolder,
    *,
    subfolder: str,
    executor: Executor | None,
    done: Callable[[TensorEntry], None],
    digest: bool = False,
    room: Mapping[str, Room] | None = None,
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
        room: tensor name -> what is known of its numbers.

    Returns:
        Tensor name -> digest of what was written, for `combine_digests`; empty unless asked for.
    """
    staged.allocate(checkpoint, subfolder)
    turn = {file: number // FILES_AT_ONCE for number, file in enumerate(checkpoint.weight_files)}
    entries = sorted(checkpoint.entries.values(), key=lambda entry: (turn[entry.file], -entry.nbytes))
    known = room or {}
    tasks = [
        _Task(
            staged.slot(entry, subfolder),
            plan.part(entry.name),
            digest,
            known.get(plan.source.get(entry.name, entry.name)),
        )
        for entry in entries
    ]
    digests = {}
    for entry, (nbytes, found) in zip(entries, spread(store_tensor, checkpoint, tasks, executor), strict=True):
        staged.written(entry, nbytes, subfolder=subfolder)
        if found is not None:
            digests[entry.name] = found
        done(entry)
    return digests


@dataclass(frozen=True, eq=False)
class _Task:
    """One tensor: where it goes, as much of the plan as concerns it, whether to hash it, and what is known of it."""

    slot: Slot
    plan: Plan
    digest: bool
    room: Room | None


def store_tensor(checkpoint: Checkpoint, task: _Task) -> tuple[int, str | None]:
    """Write one tensor, in pieces where the plan allows it; runs in any process.

    Returns:
        How many bytes were written, and their `TensorDigest` if that was asked for.
    """
    entry = task.slot.entry
    state = TensorDigest(entry.name, entry.dtype, entry.shape) if task.digest else None
    nbytes = task.slot.write(_hashed(stored_bytes(task.plan, entry.name, checkpoint, task.room), state))
    return nbytes, None if state is None else state.hexdigest()


def stored_bytes(plan: Plan, name: str, checkpoint: Checkpoint, room: Room | None = None) -> Iterator[memoryview]:
    """Yield the bytes that will be stored under `name`; each piece is only valid until the next one is asked for.

    What stays as it is comes from the mapped file in pieces too: hashed, then copied while it is in the cache, which
    takes half the time of a copy inside the kernel.
    """
    source = plan.source.get(name, name)
    if plan.axes_of(name):
        for piece in stored_pieces(plan, name, checkpoint.tensor(source), room=room):
            yield tensor_bytes(piece)
        return
    data = checkpoint.raw(source)
    for start in range(0, data.nbytes, PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


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
