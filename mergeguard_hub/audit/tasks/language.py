"""Tasks of questions to a language model, each answer judged by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.audit.tasks.language_model import BATCH_SIZE, LanguageModel
from mergeguard_hub.audit.tasks.task import Score, first
from mergeguard_hub.errors import TaskError


@dataclass(frozen=True)
class Question:
    """One item of a language task.

    Attributes:
        prompt: the user's words, without the chat template.
        reference: what the judge compares with: the answer, tests, a reference reply.
    """

    prompt: str
    reference: str


Judge = Callable[[Question, str], float]
"""Gets a question and the answer to it, and returns a verdict in [0, 1]."""


@dataclass(frozen=True)
class AnswerTask:
    """Questions to a language model, each answer judged by itself.

    Attributes:
        name: short name, for files and tables.
        title: name for readers.
        questions: in the order in which they are put.
        judge: returns a verdict in [0, 1] on an answer; `exact_number` and `passes_tests` are two.
        metric: what the judge counts.
        max_new_tokens: longest answer (128: our choice).
        chance: the score that guessing is expected to get.
        batch_size: questions at a time.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    judge: Judge
    metric: str = "exact match"
    max_new_tokens: int = 128
    chance: float = 0.0
    batch_size: int = BATCH_SIZE

    @classmethod
    def from_jsonl(
        cls, path: str | Path, *, judge: Judge, prompt: str = "prompt", reference: str = "reference", **settings: Any
    ) -> AnswerTask:
        """Read the questions from a file with one JSON object per line.

        Args:
            path: the file; its stem is the task's name unless `name` is given, and the title unless `title` is.
            judge: returns a verdict in [0, 1] on an answer.
            prompt: the field with the user's words.
            reference: the field that the judge compares with.
            **settings: the other attributes of the task.

        Raises:
            TaskError: the file is missing, or a line is no JSON object or lacks a field.
        """
        return cls(
            **{"name": Path(path).stem, "title": Path(path).stem, **settings},
            questions=read_questions(path, prompt=prompt, reference=reference),
            judge=judge,
        )

    def answers(self, subject: LanguageModel, *, limit: int | None = None) -> list[str]:
        """Return the model's answers to the first `limit` questions."""
        prompts = [question.prompt for question in first(self.questions, limit)]
        return subject.answer(prompts, max_new_tokens=self.max_new_tokens, batch_size=self.batch_size)

    def judged(self, answers: Sequence[str]) -> Score:
        """Return the score of answers that were recorded before, one for each of the first questions."""
        if len(answers) > len(self.questions):
            raise TaskError(f"There are {len(answers)} answers to {len(self.questions)} questions of {self.name!r}.")
        return Score(tuple(float(self.judge(*pair)) for pair in zip(self.questions, answers, strict=False)))

    def score(self, subject: LanguageModel, *, limit: int | None = None) -> Score:
        """Put the questions to a model; see `Task.score`."""
        return self.judged(self.answers(subject, limit=limit))


def read_questions(path: str | Path, *, prompt: str = "prompt", reference: str = "reference") -> tuple[Question, ...]:
    """Read questions from a file with one JSON object per line; empty lines do not count.

    Raises:
        TaskError: the file is missing, or a line is no JSON object or lacks a field.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise TaskError(f"There is no file {path}: the questions are read from it; give its path.") from None
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            questions.append(Question(str(record[prompt]), str(record[reference])))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise TaskError(
                f"Line {number} of {path} is no JSON object with the fields {prompt!r} and {reference!r} "
                f"({type(error).__name__}: {error}): correct it, or name the fields that it has."
            ) from None
    return tuple(questions)
