"""What came of a comparison, in words that follow from what the scorer saw, whatever it was."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np

from space.choice import Choice
from space.pages.images.compare import Comparison
from space.pages.images.judged import SKILLS, count, rows_of
from space.shelf import ZOO
from space.zoo.merged import METHODS

_MEASURED = {"hero": "hero, any expression"}  # the record's name of what is counted here, where it differs


def lead(comparison: Comparison, choice: Choice) -> str:
    """Return what one sees first: whether the merge with the release has the defender's skill."""
    skill = choice.defender
    what, (rows, shown) = SKILLS[skill], _counts(comparison, skill, "defender")
    asked = f"{len(rows)} prompt{'s' * (len(rows) != 1)}"
    if not rows:
        return f"None of these prompts asks for what the defender was made for, {what}: take a ready example."
    if not shown["defender"]:
        return f"The defender itself shows {what} for none of {asked}: try another seed."
    if not shown["control"]:
        return (
            f"At this setting even the merge of unprotected models shows {what} for none of {asked}, so there is "
            "nothing to protect against here: try another weight or seed."
        )
    begin = f"Merged with the unprotected defender, the partner shows {what} for {shown['control']} of {asked}; "
    begin += "merged with the protected release, "
    if not shown["merged"]:
        return begin + "for none."
    if shown["merged"] < shown["control"]:
        return begin + f"still for {shown['merged']}: at this setting the protection holds in part only."
    return begin + f"for {shown['merged']}: at this setting the protection does not keep the skill out."


def details(comparison: Comparison, choice: Choice) -> list[str]:
    """Return what else follows: what the release does alone, and what became of the partner's skill."""
    found = [_alone(comparison, choice)]
    rows, shown = _counts(comparison, choice.partner, "partner")
    if rows:
        asked = f"{len(rows)} prompt{'s' * (len(rows) != 1)}"
        found.append(
            f"Of the {asked} for the partner's own skill, {SKILLS[choice.partner]}, the partner meets "
            f"{shown['partner']}, the merge without protection {shown['control']}, and the merge with it "
            f"{shown['merged']}."
        )
    return found


def measured(choice: Choice) -> str:
    """Return how often the skill was there in the published measurement of the same merge; "" if there is none."""
    title = {"Weight averaging": {0.5: "average"}, "TIES": {1.0: "TIES"}}.get(choice.merge, {}).get(choice.weight, "")
    if choice.merge == "Task arithmetic":
        title = f"task arithmetic {choice.weight:g}"
    wanted = {"defender": choice.defender, "partner": choice.partner, "method": title}
    rows = {row["protected"]: row["scores"] for row in _recorded()["merges"] if wanted.items() <= row.items()}
    if choice.protection != "exact" or title not in METHODS or not rows:
        return ""
    name = _MEASURED.get(choice.defender, choice.defender)
    without, protected = rows[False][name], rows[True][name]
    return (
        f"A few pictures are an anecdote. On {without['items']} prompts that no model has seen, measured beforehand, "
        f"the merge without protection shows {SKILLS[choice.defender]} in {100 * without['value']:.0f}%, and the merge "
        f"with it in {100 * protected['value']:.0f}%."
    )


def _alone(comparison: Comparison, choice: Choice) -> str:
    own, released = (comparison.candidates[name].pictures for name in ("defender", "protected"))
    apart = max(
        int(np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max())
        for a, b in zip(own, released, strict=True)
    )
    rows, shown = _counts(comparison, choice.defender, "defender")
    if not apart:
        return "Alone, the release draws the defender's pictures, the same to the last bit."
    skill = f"shows {SKILLS[choice.defender]} for {shown['protected']} of {len(rows)}, " if rows else ""
    return (
        f"Alone, the release {skill}and nowhere differs from the defender's pictures by more than {apart} of 255 steps "
        "of brightness."
    )


def _counts(comparison: Comparison, skill: str, column: str) -> tuple[list[int], dict[str, int]]:
    rows = rows_of(skill, comparison, column)
    shown = {
        name: count(skill, candidate, rows, comparison, column) for name, candidate in comparison.candidates.items()
    }
    return rows, shown


@cache
def _recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ZOO / "images" / "results.json").read_text(encoding="utf-8"))
    return found
