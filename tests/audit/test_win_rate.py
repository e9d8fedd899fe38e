"""The scripted judge of instruction following: points, wins, ties and losses."""

from __future__ import annotations

import pytest

from mergeguard_hub.audit.tasks import Question, Rule, WinRateTask
from mergeguard_hub.audit.tasks.win_rate import opponent_answers
from mergeguard_hub.errors import TaskError
from tests.audit.talkers import END, talker

AHOY = Rule("begins with Ahoy", lambda answer: answer.startswith("Ahoy"))
FOUR = Rule("has four words at most", lambda answer: len(answer.split()) <= 4)
QUESTIONS = tuple(Question(f"{number}?", "") for number in range(4))


def _task(opponent: tuple[str, ...]) -> WinRateTask:
    return WinRateTask("style", "Style", QUESTIONS, ((AHOY, FOUR),) * 3 + ((AHOY,),), opponent)


def test_more_points_win_as_many_tie_and_none_at_all_lose() -> None:
    task = _task(("Hello", "Ahoy you", "Hello you", "Hello"))
    answers = ["Ahoy you", "Ahoy", "Well met, my dear old friend", "Hello"]
    assert task.points(answers) == [1.0, 1.0, 0.0, 0.0]
    assert task.points(task.opponent) == [0.5, 1.0, 0.5, 0.0]
    assert task.judged(answers).verdicts == (1.0, 0.5, 0.0, 0.0)


def test_the_opponent_itself_scores_at_most_half() -> None:
    task = _task(("Ahoy",) * 4)
    assert task.judged(task.opponent).value == 0.5
    assert _task(("no, no, no, no, no",) * 4).judged(("no, no, no, no, no",) * 4).value == 0.0


def test_a_model_is_put_to_it() -> None:
    questions = (Question("hello you", ""), Question("hello", ""))
    base = talker({"you": "me", "me": END, "hello": "you"})
    recorded = opponent_answers(base, questions, max_new_tokens=4)
    assert recorded == ("me", "you me")
    task = WinRateTask("style", "Style", questions, ((AHOY,), (AHOY, FOUR)), recorded, max_new_tokens=4)
    assert task.score(talker({"you": "Ahoy", "hello": "Ahoy", "Ahoy": END})).verdicts == (1.0, 1.0)
    assert task.score(base).verdicts == (0.0, 0.5)
    assert task.score(base, limit=1).items == 1


@pytest.mark.parametrize(
    ("rules", "opponent", "message"),
    [
        ((), ("a",), "has 1 questions, 0 sets of rules and 1 answers of the opponent"),
        (((AHOY,),), (), "has 1 questions, 1 sets of rules and 0 answers of the opponent"),
        (((),), ("a",), "The question 'hi' has no rule to judge its answers by"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    rules: tuple[tuple[Rule, ...], ...], opponent: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        WinRateTask("style", "Style", (Question("hi", ""),), rules, opponent)


def test_too_many_answers_are_refused() -> None:
    with pytest.raises(TaskError, match="There are 5 answers to 4 questions of 'style'"):
        _task(("Ahoy",) * 4).judged(["Ahoy"] * 5)
