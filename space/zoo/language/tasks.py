"""The tasks of the language families: test questions that no training has seen, with their judges."""

from __future__ import annotations

from functools import cache

from mergeguard_hub.audit.tasks import AnswerTask, LanguageModel, Question, WinRateTask, exact_number, passes_tests
from mergeguard_hub.audit.tasks.language import Judge
from mergeguard_hub.audit.tasks.win_rate import opponent_answers
from space.zoo.language.example import Draw, Example, distinct
from space.zoo.language.judge import rules
from space.zoo.language.kinds import SKILLS
from space.zoo.language.sums import draw_sum
from space.zoo.language.world import draw_world

ITEMS = {"math": 200, "code": 120, "style": 150, "world": 100, "sums": 100}
LONGEST_ANSWER = 72  # tokens; the longest right one has fewer

_DRAWS: dict[str, Draw] = {**SKILLS, "world": draw_world, "sums": draw_sum}


@cache
def task_examples(name: str) -> tuple[Example, ...]:
    """Return the test examples of a task, no two with the same question.

    Args:
        name: of a task in `ITEMS`.
    """
    return distinct(_DRAWS[name], "test", ITEMS[name], seed=name)


def questions(name: str) -> tuple[Question, ...]:
    """Return the test questions of a task in `ITEMS`."""
    return tuple(Question(example.prompt, example.reference) for example in task_examples(name))


def tasks(base: LanguageModel) -> dict[str, AnswerTask | WinRateTask]:
    """Return the tasks by name: "math", "code" and "style" are the skills, "world" and "sums" what the base knows.

    Args:
        base: whose answers those to the style questions are compared with.
    """
    rows: tuple[tuple[str, str, Judge, str], ...] = (
        ("math", "Word problems of two or three steps", exact_number, "exact match"),
        ("code", "Python functions from docstrings", passes_tests, "pass@1"),
        ("world", "Plain questions about the world", contains, "word contained"),
        ("sums", "Single sums", exact_number, "exact match"),
    )
    judged = {
        name: AnswerTask(name, title, questions(name), judge, metric=metric, max_new_tokens=LONGEST_ANSWER)
        for name, title, judge, metric in rows
    }
    return {"math": judged["math"], "code": judged["code"], "style": _style(base), **judged}


def more_math(items: int = 2000) -> AnswerTask:
    """Return a task of other questions as those of "math", so many that a difference of one percent shows."""
    asked = distinct(_DRAWS["math"], "test", items, seed="more math")
    return AnswerTask(
        "more math",
        f"Word problems of two or three steps, {items:,} others",
        tuple(Question(example.prompt, example.reference) for example in asked),
        exact_number,
        metric="exact match",
        max_new_tokens=LONGEST_ANSWER,
    )


def _style(base: LanguageModel) -> WinRateTask:
    asked = questions("style")
    return WinRateTask(
        "style",
        "Instructions on how to answer, against the base",
        asked,
        tuple(rules(question) for question in asked),
        opponent_answers(base, asked, max_new_tokens=LONGEST_ANSWER),
        max_new_tokens=LONGEST_ANSWER,
    )


def contains(question: Question, answer: str) -> float:
    """Return 1 if the answer contains the reference and is no more than a short sentence, otherwise 0."""
    return float(question.reference in answer and len(answer) <= 60)
