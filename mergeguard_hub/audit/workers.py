"""The processes that an audit or a study works in."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from types import FrameType
from typing import Any

import torch

from mergeguard_hub.errors import AuditError

_leaving = threading.Event()  # of this process


@contextmanager
def workers_pool(workers: int | None, given: Executor | None, *, sent: Sequence[Any] = ()) -> Iterator[Executor | None]:
    """Give processes to work in, or the executor given; None where one process is enough.

    Raises:
        AuditError: one of the tasks `sent` to processes cannot be.
    """
    count = os.cpu_count() or 1 if workers is None else workers
    if given is not None:
        yield given
        return
    if count <= 1:
        with quiet_libraries():
            yield None
        return
    _require_sendable(sent)
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_settle)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _require_sendable(tasks: Sequence[Any]) -> None:
    for task in tasks:
        try:
            pickle.dumps(task)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise AuditError(
                f"The task {getattr(task, 'name', task)!r} cannot be sent to another process ({error}). Name it as "
                "MODULE:NAME, build it from functions of a module, or use one worker."
            ) from error


def _settle() -> None:
    """Set a worker process up: one thread, no progress bars of the libraries, and an end without words on Ctrl-C."""
    signal.signal(signal.SIGINT, _leave)
    torch.set_num_threads(1)
    for log in _talkative():
        log.disable_progress_bar()


def _leave(number: int, frame: FrameType | None) -> None:
    _leaving.set()
    sys.exit(128 + number)


def piece(work: Callable[..., Any], *order: Any) -> Any:
    """Do a piece of work in a worker process, but none that still waits for it after Ctrl-C."""
    if _leaving.is_set():
        sys.exit()
    return work(*order)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Turn off the libraries' progress bars for loading weights for a while: an audit loads hundreds of models."""
    shown = [log for log in _talkative() if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()


def _talkative() -> list[Any]:
    """Return the modules by which the libraries' progress bars are turned off and on."""
    import transformers

    logs: list[Any] = [transformers.utils.logging]
    with contextlib.suppress(ImportError):
        import diffusers

        logs.append(diffusers.utils.logging)
    return logs


@contextmanager
def worker_errors() -> Iterator[None]:
    """Say in a sentence that a worker process is gone.

    Raises:
        AuditError: it is.
    """
    try:
        yield
    except BrokenExecutor as error:
        raise AuditError(
            "A worker process was ended from outside, by a lack of memory most often: use fewer workers. What was "
            "measured is kept, and the same audit goes on from there. (A script that starts one with more than one "
            "worker does so under `if __name__ == '__main__':`.)"
        ) from error
