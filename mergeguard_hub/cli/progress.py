"""The progress bar on stderr: bytes, rate and time left; nothing where nobody watches."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mergeguard_hub.cli.output import one_line

if TYPE_CHECKING:  # imported late below: they would double the time of --help
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from mergeguard_hub.release.report import Progress, ProgressCallback

_ITEM_WIDTH = 40


class PhaseBars:
    """A progress callback that draws one bar per phase; workers may call it from several threads."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __call__(self, step: Progress) -> None:
        """Draw one step."""
        item = one_line(step.item)
        if len(item) > _ITEM_WIDTH:
            item = "\u2026" + item[1 - _ITEM_WIDTH :]
        with self._lock:
            if step.phase not in self._tasks:
                self._tasks[step.phase] = self._bar.add_task(step.phase, total=step.total_bytes, item="")
            self._bar.update(
                self._tasks[step.phase], completed=step.done_bytes, total=max(step.total_bytes, 1), item=item
            )


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[ProgressCallback | None]:
    """Give a callback that draws on stderr, or None where nobody watches: --quiet, or stderr is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with _bar(Console(stderr=True)) as bar:
        yield PhaseBars(bar)


def _bar(console: Console) -> Bar:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description:<8}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[item]}", markup=False),
        console=console,
        transient=True,
    )


@contextmanager
def counting_bar(*, hidden: bool) -> Iterator[Callable[[int, int, str], object] | None]:
    """Give a callback that draws how many pieces of work are done, or None where it is to be hidden."""
    if hidden:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("beginning")
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=one_line(what))
