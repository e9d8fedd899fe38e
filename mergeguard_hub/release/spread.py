"""Work on many items, in this thread or wherever an executor has it done: threads, processes, a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

CHUNKS = 32  # pieces that items are sent to other processes in; what is shared goes along with each, our choice


@contextmanager
def threads(workers: int, given: Executor | None) -> Iterator[Executor | None]:
    """Give the executor of one run; its own threads start nothing more once the run has failed or was interrupted.

    Args:
        workers: how many threads; one is this thread, without an executor.
        given: the caller's own executor, which is used instead and left running.
    """
    if given is not None or workers <= 1:
        yield given
        return
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


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
