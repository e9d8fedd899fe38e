"""Work on many items, in this thread or wherever an executor has it done: threads, processes, a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

MOST_WORKERS = 4  # by default; more would wait for memory and the disk, our choice
CHUNKS = 32  # pieces that items are sent to other processes in; what is shared goes along with each, our choice


def default_workers() -> int:
    """Return how many threads work on tensors where nobody says: one per processor, at most four."""
    return min(MOST_WORKERS, os.cpu_count() or 1)


@contextmanager
def threads(workers: int | None, given: Executor | None) -> Iterator[Executor | None]:
    """Give the executor of one run; its own threads start nothing more once the run has failed or was interrupted.

    Args:
        workers: how many threads, None for `default_workers`; one is this thread, without an executor.
        given: the caller's own executor, which is used instead and left running.
    """
    count = default_workers() if workers is None else workers
    if given is not None or count <= 1:
        yield given
        return
    inner = torch.get_num_threads()  # shared out: every worker's operations would take as many threads
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(1, inner // count),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(inner)  # threads that start from now on take what was set last


def spread(
    work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item], executor: Executor | None
) -> Iterator[Result]:
    """Yield `work(shared, item)` for every item, in order.

    Args:
        work: a function of a module, so that it can be sent to another process, as can all it is given.
        shared: what every item needs; sent once per piece and not once per item.
        items: what differs.
        executor: any `concurrent.futures.Executor`; None to work in this thread.
    """
    if executor is None:
        yield from (work(shared, item) for item in items)
        return
    size = 1 if isinstance(executor, ThreadPoolExecutor) else max(1, -(-len(items) // CHUNKS))
    pieces = [items[start : start + size] for start in range(0, len(items), size)]
    for results in executor.map(_work_on, [work] * len(pieces), [shared] * len(pieces), pieces):
        yield from results


def _work_on(work: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item]) -> list[Result]:
    return [work(shared, item) for item in items]
