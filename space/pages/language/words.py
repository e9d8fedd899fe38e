"""What a comparison shows, in one sentence that follows from the verdicts and claims no more than they do."""

from __future__ import annotations

import json
from functools import cache

from space.pages.language.compare import Comparison
from space.shelf import HARDENED, ZOO

_RIGHTLY = {"math": "rightly", "code": "so that its tests pass", "style": "as it was told to"}


def lead(comparison: Comparison) -> str:
    """Return the sentence; a comparison that is not whole has none."""
    if not comparison.is_whole:
        return ""
    if comparison.choice is None:
        return f"Models of the Hub get no verdict here. {_release(comparison)}"
    if comparison.known is None:
        return (
            "No verdict: this is not a question of the test sets, so nobody here knows the right answer. "
            f"{_release(comparison)}"
        )
    skill = comparison.known.skill
    if skill == comparison.choice.defender:
        return _about_defender(comparison, skill)
    if skill == comparison.choice.partner:
        return _about_partner(comparison, skill)
    return (
        f"This is a question of {skill}, which neither the defender nor the partner was fine-tuned for: it shows "
        f"nothing about protection. Ask one of {comparison.choice.defender}."
    )


def reference(comparison: Comparison) -> str:
    """Return how often the fine-tunes and the base are right on the whole test set, as measured beforehand."""
    if comparison.known is None or comparison.choice is None:
        return ""
    skill, measured, choice = comparison.known.skill, _measured(), comparison.choice
    values = ", ".join(
        f"{title} {100 * measured[name][skill]['value']:.1f}%"
        for title, name in (("defender", choice.defender), ("partner", choice.partner), ("base model", "base"))
    )
    unit = "win rate against the base" if skill == "style" else "right"
    return (
        f"One question is an example, not a measurement. On all {measured['base'][skill]['items']} test questions of "
        f"{skill} ({unit}): {values}."
    )


def _about_defender(comparison: Comparison, skill: str) -> str:
    rightly = _RIGHTLY[skill]
    partner, control, merged = (_right(comparison, name) for name in ("partner", "control", "merged"))
    if partner:
        return (
            f"The partner by itself answers this question of {skill} {rightly}, so it does not show whether a merge "
            "takes the defender's skill: try another question."
        )
    if merged:
        return (
            f"The merge with the protected release answers this question of {skill} {rightly}: at this setting "
            "the protection did not keep the skill out."
        )
    if not control:
        return (
            f"At this setting even the merge of unprotected models does not answer this question of {skill} {rightly}, "
            "so it shows nothing about protection: try another question or weight."
        )
    return (
        f"Merged with the unprotected defender, the partner answers this question of {skill} {rightly}; merged with "
        f"the protected release, it does not. {_release(comparison)}"
    )


def _about_partner(comparison: Comparison, skill: str) -> str:
    rightly = _RIGHTLY[skill]
    control, merged = (_right(comparison, name) for name in ("control", "merged"))
    if merged:
        outcome = f"the merge with the protected release still answers it {rightly}"
    elif control:
        outcome = (
            f"the merge of unprotected models answers it {rightly}, and the merge with the protected release does not: "
            "the free-rider loses that too"
        )
    else:
        outcome = f"neither merge answers it {rightly}"
    return f"This is a question of the partner's skill, {skill}: {outcome}. {_release(comparison)}"


def _release(comparison: Comparison) -> str:
    own, released = comparison.answer("defender").text, comparison.answer("protected").text
    if own == released:
        return "The release itself answers word for word as the original."
    is_hardened = comparison.choice is not None and comparison.choice.protection == HARDENED
    trained = ", which was trained further," if is_hardened else ""
    verdict = comparison.answer("protected").verdict
    also = "" if verdict is None else f" and is {'right' if verdict.right else 'wrong'}"
    return f"The release itself{trained} answers in other words than the original{also}."


def _right(comparison: Comparison, column: str) -> bool:
    verdict = comparison.answer(column).verdict
    return verdict is not None and verdict.right


@cache
def _measured() -> dict[str, dict[str, dict[str, float]]]:
    scores: dict[str, dict[str, dict[str, float]]] = json.loads((ZOO / "language" / "results.json").read_text())[
        "scores"
    ]
    return scores
