"""What the task files call: the questions beside this file, and the same judges as outside the harness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from mergeguard_hub.audit.tasks import Question, WinRateTask
from mergeguard_hub.audit.tasks import exact_number as _exact_number
from mergeguard_hub.audit.tasks import passes_tests as _passes_tests
from space.zoo.language.judge import rules

_FOLDER = Path(__file__).parent


def math(**_: object) -> DatasetDict:
    """Return the questions of the math task."""
    return _questions("math")


def code(**_: object) -> DatasetDict:
    """Return the questions of the code task."""
    return _questions("code")


def style(**_: object) -> DatasetDict:
    """Return the questions of the style task."""
    return _questions("style")


def exact_number(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Judge one answer to a word problem."""
    return {"exact_match": _exact_number(_question(doc), results[0])}


def passes_tests(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Run one answer and its unit tests in the sandbox."""
    return {"pass_at_1": _passes_tests(_question(doc), results[0])}


def win_rate(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Compare one answer with the recorded answer of the base, by the rules of its question."""
    question = _question(doc)
    duel = WinRateTask("style", "style", (question,), (rules(question),), (doc["opponent"],))
    return {"win_rate": duel.judged(results[:1]).value}


def _questions(name: str) -> DatasetDict:
    lines = (_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return DatasetDict({"test": Dataset.from_list([json.loads(line) for line in lines])})


def _question(doc: dict[str, Any]) -> Question:
    return Question(doc["prompt"], doc["reference"])
