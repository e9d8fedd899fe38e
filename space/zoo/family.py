"""A family of models: how each is made, in an order in which every model finds those that it starts from."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[int, float], None]
"""Called after each step with the number of steps done and the loss."""

Make = Callable[[Path, Path, Progress], None]
"""Trains one model. Gets the folder with the models that are finished, the folder to save this one in, and whom to
tell of its progress. A file beside the second folder, suffix `.pt`, may keep the state of an unfinished training."""


@dataclass(frozen=True)
class Family:
    """Models that share a base, and how they are made and measured.

    Attributes:
        name: also of its folder.
        models: by name, in the order of training: the number of steps, and the function that does them.
        measure: loads the models from a folder and returns their scores, ready for JSON.
    """

    name: str
    models: Mapping[str, tuple[int, Make]]
    measure: Callable[[Path], dict[str, Any]]

    def train(self, weights: Path, *, watch: Callable[[str, int], Progress]) -> None:
        """Make every model that `weights` does not hold yet; a run that was stopped goes on where it was.

        Args:
            weights: folder that gets one folder per model, and `times.json`: seconds of processor time by model.
            watch: called before a model is made with its name and its number of steps; returns whom to tell.
        """
        weights.mkdir(parents=True, exist_ok=True)
        for name, (steps, make) in self.models.items():
            if (weights / name).exists():
                continue
            unfinished = weights / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            with _timed(weights / "times.json", name):
                make(weights, unfinished, watch(name, steps))
            unfinished.rename(weights / name)


@contextmanager
def _timed(file: Path, name: str) -> Iterator[None]:
    """Add the processor time of what is done inside to a model's entry, also when it is stopped."""
    start = time.process_time()
    try:
        yield
    finally:
        times: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
        times[name] = round(times.get(name, 0.0) + time.process_time() - start, 1)
        file.write_text(json.dumps(times, indent=2) + "\n")
