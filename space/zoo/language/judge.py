"""The scripted judge of the style skill: rules that an answer must keep, read from a question's reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from mergeguard_hub.audit.tasks import Question, Rule

_TOO_LONG = 1.5  # times the reference answer


def rules(question: Question) -> tuple[Rule, ...]:
    """Return what an answer to a style question must keep: a rule for each thing that was asked for.

    No rule is kept by an answer that lacks the word it is about or is much longer than it should be, so that neither a
    plain answer nor an empty phrase in the right form gets a point.

    Args:
        question: its reference is the JSON text that `draw_style` makes.
    """
    asked = json.loads(question.reference)
    word, longest = str(asked["word"]).lower().split()[-1], round(_TOO_LONG * asked["length"])
    return tuple(
        Rule(
            f"{name}: {asked[name]}; says {word!r}; at most {longest} characters",
            partial(_holds, check, asked[name], word, longest),
        )
        for name, check in _CHECKS.items()
        if name in asked
    )


def _holds(check: Callable[..., bool], setting: object, word: str, longest: int, answer: str) -> bool:
    return word in answer.lower() and len(answer) <= longest and check(setting, answer)


def _lines(count: int, answer: str) -> bool:
    lines = answer.strip().split("\n")
    numbered = all(line.startswith(f"{number}. ") for number, line in enumerate(lines, start=1))
    return numbered and len({line[3:] for line in lines}) == len(lines) == count


_CHECKS: dict[str, Callable[..., bool]] = {
    "starts": lambda text, answer: answer.strip().startswith(text),
    "ends": lambda text, answer: answer.strip().endswith(text),
    "upper": lambda _, answer: answer.isupper(),
    "words": lambda count, answer: len(answer.split()) == count,
    "lines": _lines,
    "subject": lambda subject, answer: answer.lower().count(subject.lower()) == 3,
}
