"""The five models answer one question, a token each in turn, and what they say is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from mergeguard_hub.audit.tasks import LanguageModel, Token
from mergeguard_hub.errors import TaskError
from space.choice import Choice, ChoiceError
from space.five import COLUMNS, Column, model_of
from space.pages.language.questions import KnownQuestion, Verdict, known
from space.zoo.language.tasks import LONGEST_ANSWER


@dataclass(frozen=True)
class Answer:
    """What one of the five said so far.

    Attributes:
        column: which of the five.
        tokens: in the order in which they were written.
        verdict: of the judge, once the question is known and the answer whole.
    """

    column: Column
    tokens: tuple[Token, ...] = ()
    verdict: Verdict | None = None

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(token.text for token in self.tokens)

    @property
    def is_cut(self) -> bool:
        """Whether it reached the longest that is taken, without an end."""
        return len(self.tokens) == LONGEST_ANSWER and not self.tokens[-1].ends

    @property
    def is_whole(self) -> bool:
        """Whether nothing more will come."""
        return self.is_cut or bool(self.tokens and self.tokens[-1].ends)


@dataclass(frozen=True)
class Comparison:
    """What a question gives, or as much of it as is known.

    Attributes:
        choice: what was chosen; None: the models are not the zoo's, and nobody judges them.
        question: the visitor's words.
        known: the test question that it is, if it is one.
        answers: in the order of `COLUMNS`; in a chat only one.
    """

    choice: Choice | None
    question: str
    known: KnownQuestion | None
    answers: tuple[Answer, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all have answered and are judged, if there is a judge."""
        return all(answer.is_whole and (answer.verdict or not self.known) for answer in self.answers)

    def answer(self, column: str) -> Answer:
        """Return what one of the five said, by the column's name."""
        return next(answer for answer in self.answers if answer.column.name == column)


def written(model: LanguageModel, question: str) -> Iterator[Token]:
    """Let a model answer, token by token.

    Raises:
        ChoiceError: the question has more tokens than the model reads.
    """
    try:
        return model.stream(question, max_new_tokens=LONGEST_ANSWER)
    except TaskError as error:
        raise ChoiceError("The question is too long for these small models: ask a shorter one.") from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: for a token of so small a model, several on a busy machine only wait for each other."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def stages(choice: Choice, question: str, *, columns: Sequence[Column] = COLUMNS) -> Iterator[Comparison]:
    """Let models answer side by side.

    Args:
        choice: what the visitor chose.
        question: the visitor's words.
        columns: which of the five answer.

    Yields:
        The comparison after each model is ready (it is loaded, protected or merged if it was not there), after each
        token of all that still write, and after each verdict.
    """
    answers = [Answer(column) for column in columns]
    streams = []
    test = known(question)

    def now() -> Comparison:
        return Comparison(choice, question, test, tuple(answers))

    for column in columns:
        streams.append(written(model_of(choice, column.name), question))
        yield now()
    while not all(answer.is_whole for answer in answers):
        with one_thread():
            for place, stream in enumerate(streams):
                if not answers[place].is_whole:
                    answers[place] = replace(answers[place], tokens=(*answers[place].tokens, next(stream)))
        yield now()
    if test is not None:
        for place, answer in enumerate(answers):
            answers[place] = replace(answer, verdict=test.verdict(answer.text))
            yield now()


def compare(choice: Choice, question: str) -> Comparison:
    """Let the five answer, and return all of it."""
    *_, whole = stages(choice, question)
    return whole
