"""Transfer, joint gain and outcomes, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from mergeguard_hub.audit import Score, Transfer, joint_gain, outcome
from mergeguard_hub.audit.transfer import transfer
from mergeguard_hub.errors import AuditError

BASE = Score((0, 0, 0, 1))
ALONE = Score((1, 1, 1, 1))


def test_transfer_is_the_part_of_the_gain() -> None:
    assert transfer(BASE, base=BASE, alone=ALONE).value == 0
    assert transfer(ALONE, base=BASE, alone=ALONE).value == 1
    assert transfer(Score((1, 0, 0, 1)), base=BASE, alone=ALONE).value == pytest.approx(1 / 3)
    assert transfer(Score((0, 0, 0, 0)), base=BASE, alone=ALONE).value == pytest.approx(-1 / 3)


def test_its_standard_error_is_that_of_a_ratio_item_by_item() -> None:
    """Residuals of (1, 0, 0, 0) against 1/3 of (1, 1, 1, 0): 2/3, -1/3, -1/3, 0; over a gain of 3/4."""
    found = transfer(Score((1, 0, 0, 1)), base=BASE, alone=ALONE)
    squares = 4 / 9 + 1 / 9 + 1 / 9
    assert found.standard_error == pytest.approx(math.sqrt(squares / 3 / 4) / 0.75)
    assert transfer(ALONE, base=BASE, alone=ALONE).standard_error == 0


def test_the_error_predicts_how_transfers_of_samples_scatter() -> None:
    """Of 2000 samples of 100 items each, the mean standard error is the standard deviation, within a tenth."""
    import random

    generator = random.Random(0)
    values, errors = [], []
    for _ in range(2000):
        alone = [float(generator.random() < 0.9) for _ in range(100)]
        base = [float(generator.random() < 0.2) for _ in range(100)]
        merged = [a if generator.random() < 0.6 else b for a, b in zip(alone, base, strict=True)]
        found = transfer(Score(tuple(merged)), base=Score(tuple(base)), alone=Score(tuple(alone)))
        values.append(found.value)
        errors.append(found.standard_error)
    mean = sum(values) / len(values)
    scatter = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    assert sum(errors) / len(errors) == pytest.approx(scatter, rel=0.1)


def test_joint_gain_is_the_smaller_with_its_own_error() -> None:
    assert joint_gain(Transfer(0.9, 0.01), Transfer(0.2, 0.05)) == Transfer(0.2, 0.05)
    assert joint_gain(Transfer(-0.1, 0.02), Transfer(0.2, 0.05)) == Transfer(-0.1, 0.02)


@pytest.mark.parametrize(
    ("defender", "partner", "expected"),
    [
        (Transfer(0.0, 0.0), Transfer(0.49, 0.0), "ruined"),
        (Transfer(0.0, 0.0), Transfer(0.5, 0.0), "no transfer"),
        (Transfer(0.01, 0.0), Transfer(0.3, 0.0), "no transfer"),
        (Transfer(0.1, 0.0), Transfer(1.0, 0.0), "no transfer"),
        (Transfer(0.11, 0.0), Transfer(1.0, 0.0), "not stopped"),
        (Transfer(0.11, 0.06), Transfer(1.0, 0.0), "no transfer"),
        (Transfer(1.0, 0.0), Transfer(-2.0, 0.0), "no transfer"),
        (Transfer(0.6, 0.1), Transfer(0.6, 0.1), "not stopped"),
    ],
)
def test_outcomes_have_three_names(defender: Transfer, partner: Transfer, expected: str) -> None:
    assert outcome(defender, partner) == expected


def test_scores_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(AuditError, match="Scores on 1, 4 and 4 items cannot be compared"):
        transfer(Score((1,)), base=BASE, alone=ALONE)
    with pytest.raises(AuditError, match=r"scores 0\.250 and the base 0\.250: there is no gain"):
        transfer(ALONE, base=BASE, alone=BASE)
