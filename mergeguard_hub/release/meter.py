"""Counting bytes for whoever shows progress."""

from __future__ import annotations

from mergeguard_hub.release.report import Progress, ProgressCallback


class Meter:
    """Reports progress in bytes, phase by phase; does nothing without a callback."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._phase, self._done, self._total = "", 0, 0

    def begin(self, phase: str, total_bytes: int, item: str = "") -> None:
        """Start a phase of a known size."""
        self._phase, self._done, self._total = phase, 0, total_bytes
        self.advance(0, item)

    def advance(self, nbytes: int, item: str = "") -> None:
        """Count bytes as finished."""
        self._done += nbytes
        if self._callback is not None:
            self._callback(Progress(self._phase, self._done, self._total, item))
