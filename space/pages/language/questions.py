"""Questions of the test sets, which the page knows the right answers to, and the verdicts on what a model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from mergeguard_hub.audit.tasks import Question, exact_number, passes_tests
from space.shelf import SHELVES
from space.zoo.language.judge import rules
from space.zoo.language.tasks import questions

SKILLS = tuple(SHELVES["language"].skills)
EXAMPLES_EACH = 2


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer.

    Attributes:
        right: whether it is as it should be.
        words: why, in a few words.
    """

    right: bool
    words: str


@dataclass(frozen=True)
class KnownQuestion:
    """A question of a skill's test set.

    Attributes:
        skill: one of `SKILLS`.
        question: with what its judge needs.
    """

    skill: str
    question: Question

    def verdict(self, answer: str) -> Verdict:
        """Judge an answer as the audits do; what a model writes as code is run in the library's sandbox."""
        return _JUDGES[self.skill](self.question, answer)


def known(text: str) -> KnownQuestion | None:
    """Return the test question of these words, or None if no test set holds it."""
    return _all().get(text.strip())


def examples() -> list[KnownQuestion]:
    """Return the first questions of each skill's test set."""
    return [KnownQuestion(skill, question) for skill in SKILLS for question in questions(skill)[:EXAMPLES_EACH]]


@cache
def _all() -> dict[str, KnownQuestion]:
    return {question.prompt: KnownQuestion(skill, question) for skill in SKILLS for question in questions(skill)}


def _number(question: Question, answer: str) -> Verdict:
    right = exact_number(question, answer) == 1
    return Verdict(right, f"exact match: {'the' if right else 'not the'} result {question.reference}")


def _tests(question: Question, answer: str) -> Verdict:
    right = passes_tests(question, answer) == 1
    return Verdict(right, f"pass@1: {'passes' if right else 'does not pass'} its unit tests")


def _rules(question: Question, answer: str) -> Verdict:
    asked = rules(question)
    kept = sum(rule.holds(answer) for rule in asked)
    return Verdict(kept == len(asked), f"rules: keeps {kept} of {len(asked)}")


_JUDGES: dict[str, Callable[[Question, str], Verdict]] = {"math": _number, "code": _tests, "style": _rules}
