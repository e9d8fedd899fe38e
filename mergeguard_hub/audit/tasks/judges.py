"""Judges: functions that compare an answer with a question's reference and return a verdict in [0, 1]."""

from __future__ import annotations

import ast
import re
import warnings
from decimal import Decimal

from mergeguard_hub.audit.tasks.language import Question
from mergeguard_hub.audit.tasks.program import complete
from mergeguard_hub.audit.tasks.sandbox import run_python
from mergeguard_hub.errors import TaskError

_NUMBER = re.compile(r"(?:(?<![\w.])[-\u2212])?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_MARKERS = (re.compile(r"####"), re.compile(r"answer is", re.IGNORECASE))


def exact_number(question: Question, answer: str) -> float:
    """Return 1 if the answer ends in the reference's number, 0 otherwise; the metric of GSM8K.

    Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems", arXiv 2110.14168. Which number counts, in both
    texts: the first after the last `####`; without `####`, the first after the last "answer is"; without either, the
    last in the text. A marker with no number behind it is a wrong answer. Numbers are compared as values: `1,000`,
    `$1000` and `1000.0` are the same. Fractions and percentages are not understood.

    Args:
        question: its reference is a number, or a solution that ends in one.
        answer: what the model wrote.

    Raises:
        TaskError: the reference holds no number.

    Example:
        >>> exact_number(Question("2 + 2 * 500?", "1,002"), "2 * 500 is 1000, so the answer is 1002.")
        1.0
    """
    expected = _final_number(question.reference)
    if expected is None:
        raise TaskError(f"The reference {question.reference!r} holds no number to compare with; correct the question.")
    return float(_final_number(answer) == expected)


def _final_number(text: str) -> Decimal | None:
    for marker in _MARKERS:
        places = list(marker.finditer(text))
        if places:
            found = _NUMBER.search(text, places[-1].end())
            return _value(found[0]) if found else None
    numbers = _NUMBER.findall(text)
    return _value(numbers[-1]) if numbers else None


def _value(number: str) -> Decimal:
    return Decimal(number.replace("\u2212", "-").replace("$", "").replace(",", ""))


def passes_tests(question: Question, answer: str, *, time_s: float = 3.0) -> float:
    r"""Return 1 if the program in the answer passes the reference's tests, 0 otherwise; pass@1 of HumanEval.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", arXiv 2107.03374, with one greedy answer per
    problem. The program is found by `program.complete` and run with the tests behind it by `run_python`, whose limits
    and limitations are this judge's; a program that ends before the tests do has not passed.

    Args:
        question: its prompt holds the beginning of a function (imports, `def` line, docstring), in a code fence or at
            the end; its reference is Python that fails if the function is wrong (for HumanEval: the tests and a last
            line `check(name_of_the_function)`).
        answer: the rest of the function, or all of it, in a code fence or not.
        time_s: processor time for program and tests (3: that of the paper's own harness).

    Example:
        >>> question = Question("def double(n):\n", "assert double(4) == 8")
        >>> passes_tests(question, "    return 2 * n"), passes_tests(question, "    return n")
        (1.0, 0.0)
    """
    program = f"{complete(question.prompt, answer)}\n\n{question.reference}\n"
    return float(_is_python(program) and run_python(program, time_s=time_s).ok)


def _is_python(program: str) -> bool:
    """Say whether a program can be parsed; what ruined models write cannot, and a process to find out is slow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a program may hold what Python only warns of
        try:
            ast.parse(program)
        except (SyntaxError, ValueError):
            return False
        except (MemoryError, RecursionError):
            return True  # too deep for the parser here; the sandbox decides
    return True
