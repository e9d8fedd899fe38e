"""Write every tensor of a component into the staged folder, moved as the plan says."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.streaming import stored_pieces
from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, TensorEntry, tensor_bytes


def store(
    checkpoint: Checkpoint,
    plan: Plan,
    staged: StagedFolder,
    *,
    subfolder: str,
    executor: Executor | None,
    done: Callable[[TensorEntry], None],
) -> None:
    """Write all tensors, largest first so that parallel workers end together.

    Args:
        checkpoint: where the original tensors are read from.
        plan: what happens to them.
        staged: where they go, at the offsets they have in `checkpoint`.
        subfolder: the component's folder, "" for a plain model folder.
        executor: a thread pool, or None to work in this thread.
        done: called after each tensor.
    """
    staged.allocate(checkpoint, subfolder)

    def write(entry: TensorEntry) -> TensorEntry:
        store_tensor(checkpoint, plan, staged, entry, subfolder)
        return entry

    entries = sorted(checkpoint.entries.values(), key=lambda entry: -entry.nbytes)
    for entry in (executor.map if executor is not None else map)(write, entries):
        done(entry)


def store_tensor(checkpoint: Checkpoint, plan: Plan, staged: StagedFolder, entry: TensorEntry, subfolder: str) -> None:
    """Write one tensor, in pieces where the plan allows it."""
    source = plan.source.get(entry.name, entry.name)
    if source == entry.name and not plan.axes_of(entry.name):
        staged.copy_tensor(checkpoint, entry, subfolder)
        return
    offset = 0
    for piece in stored_pieces(plan, entry.name, checkpoint.tensor(source)):
        data = tensor_bytes(piece)
        staged.write(entry, data, offset=offset, subfolder=subfolder)
        offset += data.nbytes


def open_weights(like: Checkpoint, root: Path) -> Checkpoint:
    """Return the weights under `root`, which were written at the same offsets as `like`, without reading headers again."""
    return Checkpoint(
        root,
        config=like.config,
        headers=like.headers,
        entries=like.entries,
        index_file=like.index_file,
        side_files=like.side_files,
    )
