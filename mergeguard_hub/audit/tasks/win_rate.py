"""Win rate: whose answer does better what the question asked, this model's or the base model's?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mergeguard_hub.audit.tasks.language import Question
from mergeguard_hub.audit.tasks.language_model import BATCH_SIZE, LanguageModel
from mergeguard_hub.audit.tasks.task import Score, first
from mergeguard_hub.errors import TaskError


@dataclass(frozen=True)
class Rule:
    """One thing that a question asks of its answer and that a program can check.

    Attributes:
        says: the rule in words, for readers.
        holds: returns whether an answer keeps it.

    Example:
        >>> Rule("ends with a full stop", lambda answer: answer.rstrip().endswith(".")).holds("Yes.")
        True
    """

    says: str
    holds: Callable[[str], bool]


@dataclass(frozen=True)
class WinRateTask:
    """Instructions to a language model, each answer compared with a recorded answer of an opponent.

    The roles are those of AlpacaEval (Li et al. 2023), but the judge is **a script, not a model**: an answer's points
    are the fraction of the question's rules that it keeps. More points than the opponent win (1), as many tie (0.5),
    fewer lose (0); where neither keeps any rule, nobody did what was asked, and that is 0 too. So the opponent itself
    scores at most 0.5. It does not see whether an answer is true, helpful or well written beyond its rules: let a rule
    check the content, or an empty phrase in the right form wins.

    Attributes:
        name: short name, for files and tables.
        title: name for readers.
        questions: in the order in which they are put; references are not used.
        rules: for each question, what its answer must keep.
        opponent: for each question, the answer to beat; `opponent_answers` makes them.
        max_new_tokens: longest answer (128: our choice).
        batch_size: questions at a time.
        metric: what a score counts.
        chance: guessing keeps no rule.

    Raises:
        TaskError: there are not as many rules or opponent's answers as questions, or a question has no rule.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    rules: tuple[tuple[Rule, ...], ...]
    opponent: tuple[str, ...]
    max_new_tokens: int = 128
    batch_size: int = BATCH_SIZE
    metric: str = "win rate"
    chance: float = 0.0

    def __post_init__(self) -> None:
        counts = len(self.questions), len(self.rules), len(self.opponent)
        if len(set(counts)) != 1:
            raise TaskError(
                f"{self.name!r} has {counts[0]} questions, {counts[1]} sets of rules and {counts[2]} answers of the "
                "opponent; give one of each per question."
            )
        for question, rules in zip(self.questions, self.rules, strict=True):
            if not rules:
                raise TaskError(f"The question {question.prompt!r} has no rule to judge its answers by; give one.")

    def points(self, answers: Sequence[str]) -> list[float]:
        """Return for each answer, in the order of the questions, the fraction of its question's rules that it keeps."""
        return [
            sum(rule.holds(answer) for rule in rules) / len(rules)
            for rules, answer in zip(self.rules, answers, strict=False)
        ]

    def answers(self, subject: LanguageModel, *, limit: int | None = None) -> list[str]:
        """Return the model's answers to the first `limit` questions."""
        prompts = [question.prompt for question in first(self.questions, limit)]
        return subject.answer(prompts, max_new_tokens=self.max_new_tokens, batch_size=self.batch_size)

    def judged(self, answers: Sequence[str]) -> Score:
        """Return the score of answers that were recorded before, one for each of the first questions."""
        if len(answers) > len(self.questions):
            raise TaskError(f"There are {len(answers)} answers to {len(self.questions)} questions of {self.name!r}.")
        pairs = zip(self.points(answers), self.points(self.opponent), strict=False)
        return Score(tuple(_verdict(own, other) for own, other in pairs))

    def score(self, subject: LanguageModel, *, limit: int | None = None) -> Score:
        """Put the instructions to a model; see `Task.score`."""
        return self.judged(self.answers(subject, limit=limit))


def opponent_answers(
    opponent: LanguageModel, questions: Sequence[Question], *, max_new_tokens: int = 128, batch_size: int = BATCH_SIZE
) -> tuple[str, ...]:
    """Return the opponent's answers, to be computed once and kept with the task."""
    prompts = [question.prompt for question in questions]
    return tuple(opponent.answer(prompts, max_new_tokens=max_new_tokens, batch_size=batch_size))


def _verdict(own: float, other: float) -> float:
    if own == other:
        return 0.5 if own > 0 else 0.0
    return float(own > other)
