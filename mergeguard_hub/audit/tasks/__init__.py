"""Tasks: data and a metric in one object, put alike to the zoo's models and to real ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mergeguard_hub.audit.tasks.task import Score, Task

if TYPE_CHECKING:
    from mergeguard_hub.audit.tasks.diffusion import PromptTask
    from mergeguard_hub.audit.tasks.harness import HarnessTask, run_harness
    from mergeguard_hub.audit.tasks.judges import exact_number, passes_tests
    from mergeguard_hub.audit.tasks.language import AnswerTask, Question
    from mergeguard_hub.audit.tasks.language_model import LanguageModel, Token
    from mergeguard_hub.audit.tasks.sandbox import SandboxResult, run_python
    from mergeguard_hub.audit.tasks.vision import ClassificationTask
    from mergeguard_hub.audit.tasks.win_rate import Rule, WinRateTask

__all__ = [
    "AnswerTask",
    "ClassificationTask",
    "HarnessTask",
    "LanguageModel",
    "PromptTask",
    "Question",
    "Rule",
    "SandboxResult",
    "Score",
    "Task",
    "Token",
    "WinRateTask",
    "exact_number",
    "passes_tests",
    "run_harness",
    "run_python",
]

_HOME = {
    "AnswerTask": "language",
    "ClassificationTask": "vision",
    "HarnessTask": "harness",
    "LanguageModel": "language_model",
    "PromptTask": "diffusion",
    "Question": "language",
    "Rule": "win_rate",
    "SandboxResult": "sandbox",
    "Token": "language_model",
    "WinRateTask": "win_rate",
    "exact_number": "judges",
    "passes_tests": "judges",
    "run_harness": "harness",
    "run_python": "sandbox",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a vision task needs no tokenizers."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
