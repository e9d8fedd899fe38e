"""How far a run is, in words and as a bar, for people and for screen readers."""

from __future__ import annotations

import math
import time
from html import escape


class Pace:
    """Says when the next update is due, so that a stream of small steps does not flood a visitor's line.

    Args:
        gap_s: least time between two updates.
    """

    def __init__(self, gap_s: float) -> None:
        self.gap_s = gap_s
        self._last = -math.inf

    def due(self) -> bool:
        """Say whether it is time, and if it is, begin to wait for the next."""
        now = time.monotonic()
        if now - self._last < self.gap_s:
            return False
        self._last = now
        return True


class Status:
    """Counts the steps of a run.

    Args:
        steps: how many there will be, of about the same length.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self._start = time.monotonic()

    def now(self, doing: str) -> str:
        """Return the state while a step is under way, as HTML."""
        left = ""
        if self.done:
            seconds = (time.monotonic() - self._start) / self.done * (self.steps - self.done)
            left = f" · about {max(1, round(seconds))} s left"
        return self._html(f"{doing} ({self.done + 1} of {self.steps}){left}", self.done / self.steps)

    def step(self) -> None:
        """Count a step that is done."""
        self.done += 1

    def finished(self, words: str) -> str:
        """Return the closing state, with what the whole run took."""
        return self._html(f"{words} · {time.monotonic() - self._start:.1f} s", 1.0)

    def _html(self, words: str, fraction: float) -> str:
        return (
            f'<div class="mg-status" role="status"><span>{escape(words)}</span>'
            f'<div class="mg-bar" aria-hidden="true"><i style="width:{100 * fraction:.0f}%"></i></div></div>'
        )
