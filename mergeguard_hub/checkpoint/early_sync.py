"""Bringing finished files to the disk while others are still worked on, so that committing hardly has to wait."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from mergeguard_hub.checkpoint.storage import sync

WORTH_BYTES = 64 << 20  # smaller files are on the disk in no time, our choice


class EarlySync:
    """Syncs large files one after another in a thread, which waits for the disk and takes no processor time."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._begun: list[Future[None]] = []

    def begin(self, path: Path) -> None:
        """Start bringing a file to the disk, if it is large. It may still be read, and written, meanwhile."""
        if path.stat().st_size < WORTH_BYTES:
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="mergeguard-sync")
        self._begun.append(self._executor.submit(sync, path))

    def finish(self) -> None:
        """Wait for all files.

        Raises:
            OSError: if the disk failed; the system says so once only, and a later sync would not.
        """
        for future in self._begun:
            future.result()
        self.close()

    def close(self) -> None:
        """Let go of what has not begun, and wait for what has."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._executor, self._begun = None, []
