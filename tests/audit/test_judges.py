"""Judges: which number counts, which program is run, and what passes."""

from __future__ import annotations

import pytest

from mergeguard_hub.audit.tasks import Question, exact_number, passes_tests
from mergeguard_hub.audit.tasks.program import complete
from mergeguard_hub.errors import TaskError


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("18", "16 - 3 - 4 = 9 and 9 * 2 = 18", 1.0),
        ("18", "She makes 18 dollars, not 19", 0.0),
        ("She has 3 + 4 = 7.\n#### 7", "7", 1.0),
        ("7", "#### 7\nQuestion: what is 9?", 1.0),
        ("7", "The answer is 8.\n#### 7", 1.0),  # `####` wins over the words
        ("8", "The answer is 8. To check: 8 - 1 = 7", 1.0),  # the words win over the last number
        ("7", "The answer is 8. No, the ANSWER IS 7, not 6", 1.0),
        ("7", "7 ####", 0.0),  # a marker with nothing behind it
        ("7", "It is 7. The answer is seven.", 0.0),
        ("1,000", "$1000.00", 1.0),
        ("-3", "2 - 5 = -3", 1.0),
        ("-3", "\u22123.", 1.0),
        ("3", "5-3", 1.0),  # a difference, not a minus sign
        ("12", "1,2", 0.0),
        ("0.5", "0.50", 1.0),
        ("7", "", 0.0),
        ("7", "none", 0.0),
        ("9999999999999999999", "9999999999999999998", 0.0),
        ("7", "1" * 100_000, 0.0),
    ],
)
def test_the_number_that_counts(reference: str, answer: str, verdict: float) -> None:
    assert exact_number(Question("?", reference), answer) == verdict


def test_a_reference_without_number_is_refused() -> None:
    with pytest.raises(TaskError, match="The reference 'seven' holds no number"):
        exact_number(Question("?", "seven"), "7")


STUB = 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Add them up."""\n'
TESTS = "assert total([1, 2, 3]) == 6\nassert total([]) == 0"
WHOLE = "def total(xs: List[int]) -> int:\n    return sum(xs)"
PROMPTS = {"bare": STUB, "fenced": f"Complete this.\n```python\n{STUB}```\nThanks.", "told": f"Complete this.\n{STUB}"}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize(
    "answer",
    [
        "    return sum(xs)",
        "return sum(xs)",
        "\n    total = 0\n    for x in xs:\n        total += x\n    return total\n",
        "total = 0\n    for x in xs:\n        total += x\n    return total",  # only the first line lost its indentation
        "total = 0\nfor x in xs:\n    total += x\nreturn total",
        "    return sum(xs)\n\nThis adds up all numbers, doesn't it?",
        WHOLE,
        f"Sure!\n```python\n{WHOLE}\n```\nIt adds them up.\n```\ntotal([1])\n```",
        f"```\n{WHOLE}",  # cut before the fence was closed
        "```python\n    return sum(xs)\n```",
        f"  ```python\n{WHOLE}\n  ```",
        "def helper(xs):\n    return sum(xs)\n\ndef total(xs):\n    return helper(xs)\n\nDone.",
        "    return sum(xs)\n\ndef unfinished(",
        "return sum(xs)\n\ndef unfinished(",
        f"Here it is:\n\n{WHOLE}\n\nIt adds them up.",
    ],
)
def test_right_programs_pass(prompt: str, answer: str) -> None:
    assert complete(prompt, answer).count("sum(xs)") + complete(prompt, answer).count("total += x") == 1
    if prompt == PROMPTS["fenced"]:  # one run per answer is enough
        assert passes_tests(Question(prompt, TESTS), answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["    return 6", "    return len(xs)", "", "I do not know.", "    return (", "    raise SystemExit(0)", "pass\x00"],
)
def test_wrong_programs_do_not_pass(answer: str) -> None:
    assert passes_tests(Question(STUB, TESTS), answer) == 0.0


@pytest.mark.parametrize(
    "answer",
    ["import os; os._exit(0)", "import sys\n    sys.exit()", "print('passed'); raise SystemExit", "while True: pass"],
)
def test_tricks_do_not_pass(answer: str) -> None:
    assert passes_tests(Question(STUB, TESTS), f"    {answer}", time_s=1) == 0.0


def test_nested_beyond_reason() -> None:
    assert passes_tests(Question(STUB, TESTS), "    return " + "(" * 5000) == 0.0
