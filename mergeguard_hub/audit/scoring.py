"""Scores of weights, each measured once: they are kept by the digest of the weights."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from mergeguard_hub.audit.model_folder import weights_digest
from mergeguard_hub.audit.tasks import Score, Task

Config = Mapping[str, Any] | None


class Scores:
    """Puts tasks to weights, and remembers every answer in a folder.

    Many merges of an audit are the same to the last bit: wherever an attack restores the original exactly, for one.

    Args:
        folder: holds a file for each weights, task and number of items.
        loaded_with: weights, configuration -> the model with them, see `ModelFolder.loaded_with`.
    """

    def __init__(
        self, folder: Path, loaded_with: Callable[[Mapping[str, Tensor], Config], AbstractContextManager[Any]]
    ) -> None:
        self._folder = folder
        self._loaded_with = loaded_with

    def of(
        self,
        weights: Mapping[str, Tensor],
        tasks: Mapping[str, Task[Any]],
        *,
        limit: int | None = None,
        config: Config = None,
    ) -> dict[str, Score]:
        """Return the score of these weights on each task.

        Args:
            weights: named as by `ModelFolder.tensors`.
            tasks: what is put to the model, by names that tell all tasks of the audit apart.
            limit: as in `Task.score`.
            config: of another architecture, see `ModelFolder.loaded_with`.
        """
        digest = weights_digest(weights).removeprefix("sha256:")[:32]
        files = {name: self._folder / f"{digest}-{safe_name(name)}-{limit or 'all'}.json" for name in tasks}
        found = {name: _read(file) for name, file in files.items() if file.exists()}
        if found.keys() != tasks.keys():
            with self._loaded_with(weights, config) as subject:
                for name in tasks.keys() - found.keys():
                    found[name] = tasks[name].score(subject, limit=limit)
                    write_whole(files[name], json.dumps(found[name].verdicts))
        return {name: found[name] for name in tasks}


def write_whole(file: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}")  # threads and other machines may write it too
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _read(file: Path) -> Score:
    return Score(tuple(json.loads(file.read_text(encoding="utf-8"))))


def safe_name(name: str) -> str:
    """Return a name as it stands in names of files."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)
