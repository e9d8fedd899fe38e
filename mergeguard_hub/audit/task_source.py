"""Where a task comes from, in a form that can be sent to another process and written into a command."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from mergeguard_hub.audit.tasks import AnswerTask, ClassificationTask, HarnessTask, Task, exact_number
from mergeguard_hub.errors import TaskError

_MEMBERS = ("name", "title", "metric", "chance", "score")
_JSONL, _PICTURES, _HARNESS = "jsonl:", "pictures:", "lm-eval:"


def find_task(source: str | Task[Any], *, model: Path) -> Task[Any]:
    """Return a task.

    Args:
        source: a task as it is, or one of

            * "jsonl:FILE": questions with a number as their answer, see `AnswerTask.from_jsonl`;
            * "pictures:FOLDER": one folder of pictures per class, see `ClassificationTask.from_folder`;
            * "lm-eval:NAME:METRIC": a task of lm-evaluation-harness, see `HarnessTask`;
            * "MODULE:NAME": an attribute of a Python module, a task or a function without arguments that makes one.
        model: folder of the model whose image processor is used.

    Raises:
        TaskError: there is no such task.
    """
    task = source if not isinstance(source, str) else _read(source, model)
    lacking = [name for name in _MEMBERS if not hasattr(task, name)]
    if lacking or isinstance(task, type):
        raise TaskError(
            f"{source!r} is a {type(task).__name__} and no task: it has no {', '.join(lacking) or 'instance'}; see "
            "docs/tasks.md."
        )
    return task


def _read(source: str, model: Path) -> Task[Any]:
    if source.startswith(_JSONL):
        return AnswerTask.from_jsonl(source.removeprefix(_JSONL), judge=exact_number, metric="exact match")
    if source.startswith(_PICTURES):
        from transformers import AutoImageProcessor

        processor = AutoImageProcessor.from_pretrained(model)  # type: ignore[no-untyped-call]
        return ClassificationTask.from_folder(source.removeprefix(_PICTURES), processor=processor)
    if source.startswith(_HARNESS):
        name, colon, metric = source.removeprefix(_HARNESS).partition(":")
        if not colon:
            raise TaskError(f"{source!r} names no metric: write lm-eval:gsm8k:exact_match,strict-match, for one.")
        return HarnessTask(name, name, metric)
    return _attribute(source)


def _attribute(source: str) -> Task[Any]:
    module, colon, name = source.partition(":")
    if not colon:
        raise TaskError(
            f"{source!r} is no task: write jsonl:FILE, pictures:FOLDER, lm-eval:NAME:METRIC or MODULE:NAME."
        )
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise TaskError(f"There is no task {source!r} ({error}): is the module's folder on PYTHONPATH?") from error
    task: Task[Any] = found() if callable(found) and not hasattr(found, "score") else found
    return task
