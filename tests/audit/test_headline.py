"""The headline: which cell it is taken from."""

from __future__ import annotations

from mergeguard_hub.audit.cell import Cell
from mergeguard_hub.audit.defaults import WITHOUT
from mergeguard_hub.audit.headline import best, contenders, headlines
from tests.audit.grids import cell

ROWS = [
    cell(0.8, defender="original"),
    cell(0.6, defender="original", method="slerp"),
    cell(0.05, defender="original", method=WITHOUT),
    cell(-1.0),
    cell(0.3, attack="alignment", method="slerp"),
    cell(0.2, attack="alignment"),
    cell(0.9, defender="original", partner="q"),
    cell(0.2, defender="original", method=WITHOUT, partner="q"),
    cell(0.1, partner="q"),
]


def test_the_worst_cell_is_the_largest_gain_with_the_release() -> None:
    first, second = headlines(ROWS)
    assert (first.partner, first.worst.joint, first.control.joint, first.without.joint) == ("p", 0.3, 0.8, 0.05)
    assert (first.worst.cell["attack"], first.worst.cell["method"]) == ("alignment", "slerp")
    assert round(first.advantage, 6) == 0.25
    assert (second.partner, round(second.advantage, 6)) == ("q", -0.1)


def test_what_uses_only_the_partner_is_no_control() -> None:
    rows = [cell(0.2, defender="original"), cell(0.7, defender="original", method=WITHOUT), cell(0.0)]
    (found,) = headlines(rows)
    assert (found.control.joint, found.without.joint) == (0.2, 0.7)


def test_a_partner_of_which_a_kind_is_missing_has_no_headline() -> None:
    assert headlines(ROWS[:1]) == []
    assert best([cell(0.0, points=[], problem="no")]) is None


def test_a_part_of_the_second_scoring_hides_no_grid() -> None:
    """A budget that ends in the middle of it may not make the worst cell better."""
    rows = [cell(0.5, defender="original"), cell(0.0, defender="original", method=WITHOUT)]
    rows += [cell(0.7, attack="alignment"), cell(0.2)]
    again = [cell(0.1), cell(0.4, defender="original"), cell(0.0, defender="original", method=WITHOUT)]
    assert headlines(rows, again)[0].worst.joint == 0.7
    (found,) = headlines(rows, [cell(0.6, attack="alignment"), *again])
    assert (found.worst.joint, found.control.joint) == (0.6, 0.4)


def test_three_of_each_kind_are_scored_again() -> None:
    rows = [cell(number / 10, method=f"m{number}") for number in range(5)] + [cell(0.5, defender="original")]
    assert contenders(rows) == [
        Cell("protected", "", "m4", "p"),
        Cell("protected", "", "m3", "p"),
        Cell("protected", "", "m2", "p"),
        Cell("original", "", "ties", "p"),
    ]


def test_the_base_itself_is_always_there_to_take() -> None:
    rows = [cell(0.8, defender="original"), cell(-0.3, defender="original", method=WITHOUT), cell(0.25)]
    (found,) = headlines(rows)
    assert (found.without.joint, found.advantage) == (-0.3, 0.25)
