"""The headline of an audit: the best that a free-rider got with the release, without it, and with the original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergeguard_hub.audit.cell import Cell
from mergeguard_hub.audit.defaults import WITHOUT

CONTENDERS = 3  # merges of each kind and partner that are scored on all items, our choice

Row = Mapping[str, Any]  # a cell as `cell_record` writes it


@dataclass(frozen=True)
class Best:
    """The merge with the largest joint gain of its kind.

    Attributes:
        joint: its joint gain, the smaller of both transfers.
        standard_error: of that.
        cell: the record of the cell that it is from.
        point: its record in that cell.
    """

    joint: float
    standard_error: float
    cell: Row
    point: Row


@dataclass(frozen=True)
class Headline:
    """What a partner's owner gets.

    Attributes:
        partner: name of the partner.
        worst: the best merge with the release, whatever attack or search it took.
        control: the best merge with the unprotected original.
        without: the best use of the partner's task vector alone.
        advantage: joint gain of `worst` minus that of `without`, which is at least 0: at or below 0 a free-rider does
            best by leaving the release out.
    """

    partner: str
    worst: Best
    control: Best
    without: Best

    @property
    def advantage(self) -> float:
        """Return `worst` minus `without`, or minus 0 if that is larger: coefficient 0 is the base itself."""
        return self.worst.joint - max(0.0, self.without.joint)


def headlines(rows: Sequence[Row], confirmed: Sequence[Row] = ()) -> list[Headline]:
    """Return the headline for every partner of which all three kinds were measured, the largest worst cell first.

    Args:
        rows: the grid.
        confirmed: merges that were scored on all items. A partner's headline is taken from these once all of its
            contenders are among them, and from the grid before that: a part of them could hide the best.
    """
    found = []
    rows = [*rows]
    for partner in dict.fromkeys(row["partner"] for row in rows):
        again = [row for row in confirmed if row["partner"] == partner]
        if len(again) >= len(contenders([row for row in rows if row["partner"] == partner])):
            rows = [row for row in rows if row["partner"] != partner] + again
    for partner in dict.fromkeys(row["partner"] for row in rows):
        kinds = {kind: best(row for row in rows if row["partner"] == partner and _kind(row) == kind) for kind in _KINDS}
        worst, control, without = (kinds[kind] for kind in _KINDS)
        if worst is not None and control is not None and without is not None:
            found.append(Headline(partner, worst, control, without))
    return sorted(found, key=lambda one: -one.worst.joint)


def best(rows: Iterable[Row]) -> Best | None:
    """Return the merge with the largest joint gain, None if there is no merge."""
    points = [(row, point) for row in rows for point in row["points"]]
    if not points:
        return None
    row, point = max(points, key=lambda pair: float(pair[1]["joint"]["value"]))
    return Best(point["joint"]["value"], point["joint"]["standard_error"], row, point)


def contenders(rows: Sequence[Row]) -> list[Cell]:
    """Return the merges that the headline may be taken from, for scoring on all items."""
    found: dict[Cell, None] = {}
    for partner in dict.fromkeys(row["partner"] for row in rows):
        for kind in _KINDS:
            found |= dict.fromkeys(_first(row for row in rows if row["partner"] == partner and _kind(row) == kind))
    return list(found)


def _first(rows: Iterable[Row]) -> Iterator[Cell]:
    points = [(point["joint"]["value"], row, point) for row in rows for point in row["points"]]
    for _, row, point in sorted(points, key=lambda entry: -entry[0])[:CONTENDERS]:
        yield Cell(row["defender"], row["attack"], row["method"], row["partner"], point["label"])


_KINDS = ("protected", "original", WITHOUT)


def _kind(row: Row) -> str:
    return WITHOUT if row["method"] == WITHOUT else str(row["defender"])
