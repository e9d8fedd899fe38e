"""Scores: their mean, how sure it is, and what they refuse."""

from __future__ import annotations

import math
import statistics

import pytest

from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.audit.tasks.task import first
from mergeguard_hub.errors import TaskError


def test_right_and_wrong() -> None:
    score = Score((1.0,) * 9 + (0.0,) * 3)
    assert (score.value, score.items) == (0.75, 12)
    assert score.standard_error == pytest.approx(0.125)  # sqrt(3/4 * 1/4 / 12)


def test_fractions_have_the_standard_error_of_their_sample() -> None:
    verdicts = (0.2, 0.5, 0.5, 0.9)
    assert Score(verdicts).standard_error == pytest.approx(statistics.stdev(verdicts) / 2)


@pytest.mark.parametrize(("verdict", "error"), [(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)])
def test_one_item(verdict: float, error: float) -> None:
    assert Score((verdict,)).standard_error == error


def test_no_items_are_refused() -> None:
    with pytest.raises(TaskError, match="the task had no items; give it at least one"):
        Score(())


@pytest.mark.parametrize("verdict", [-0.1, 1.1, 7.0, math.nan, math.inf])
def test_what_is_no_fraction_is_refused(verdict: float) -> None:
    with pytest.raises(TaskError, match=r"The verdict on item 1 is .* must lie in \[0, 1\]"):
        Score((1.0, verdict))


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (1, 1), (3, 3), (9, 3)])
def test_limits(limit: int | None, count: int) -> None:
    assert list(first("abc", limit)) == list("abc")[:count]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(TaskError, match=f"limit is {limit}, and must be at least 1; leave it out to use all 3"):
        first("abc", limit)
