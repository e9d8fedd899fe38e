"""Both skills along the line through two models, from before the partner to beyond the defender."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pandas as pd

from mergeguard_hub.attacks import Workshop
from mergeguard_hub.audit.defaults import PATH
from mergeguard_hub.audit.merge_path import MergePath
from space.audits import audit_of
from space.choice import Choice
from space.five import made_of, tensors_of
from space.shelf import BASE
from space.zoo.tasks import task

COLUMNS = ("weight of the defender", "score", "line")
POINTS = MergePath().at
LIVE = ("vision",)
"""Families whose paths are computed on the page; those of the others are read from their audits."""

LINES = {
    "defender's skill, without protection": "#b2182b",
    "partner's skill, without protection": "#2166ac",
    "defender's skill, with protection": "#f4a582",
    "partner's skill, with protection": "#92c5de",
}
"""The lines of the plot and their colours; light ones are those of the release."""

_ITEMS = 300  # pictures of each task: a point's standard error is three points at most
_SKILLS = ("defender's skill", "partner's skill")
_MERGES = {"defender": "without protection", "protected": "with protection"}


def live(choice: Choice) -> Iterator[pd.DataFrame]:
    """Score merges at every weight, without protection and with it in turn; yields all rows so far."""
    rows: list[tuple[float, float, str]] = []
    for position in range(len(POINTS)):
        for who, title in _MERGES.items():
            scores = zip(_SKILLS, point(choice, who, position), strict=True)
            rows += [(POINTS[position], score, f"{skill}, {title}") for skill, score in scores]
        yield frame(rows)


@lru_cache(maxsize=1024)
def point(choice: Choice, who: str, position: int) -> tuple[float, ...]:
    """Return the scores on both tasks at one of `POINTS`, as fractions.

    Args:
        choice: what the visitor chose; its merge method and weight play no part.
        who: "defender" or "protected".
        position: in `POINTS`.
    """
    own, base, other = (tensors_of(choice, name) for name in (who, BASE, "partner"))
    (candidate,) = MergePath((POINTS[position],)).candidates(Workshop(own, base, [other]))
    model = made_of(choice, candidate.weights)
    names = (choice.defender, choice.partner)
    return tuple(task(choice.family, name).score(model, limit=_ITEMS).value for name in names)


def audited(family: str, *, hardened: bool = False) -> tuple[pd.DataFrame, str]:
    """Return the path of a family's audit, or of that of its hardened release, and whose it is."""
    report = audit_of(family, hardened=hardened)
    if report is None:
        return frame([]), ""
    partner = report.content["headlines"][0]["partner"]
    rows = []
    for who, title in zip(("original", "protected"), _MERGES.values(), strict=True):
        for cell in report.cells(defender=who, attack="", partner=partner, method=PATH):
            for found in sorted(cell["points"], key=lambda one: float(one["settings"]["lambda"])):
                for skill, score in zip(_SKILLS, found["scores"], strict=True):
                    rows.append((found["settings"]["lambda"], score["value"], f"{skill}, {title}"))
    return frame(rows), f"{report.content['tasks'][0]['name']} with {partner}"


def frame(rows: list[tuple[float, float, str]]) -> pd.DataFrame:
    """Return rows as the plot takes them."""
    return pd.DataFrame(rows, columns=list(COLUMNS))
