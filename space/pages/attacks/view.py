"""What came of the attack, in words and as a table."""

from __future__ import annotations

from html import escape

from mergeguard_hub.audit.tasks import Score
from space.pages.attacks.live import ITEMS, Result
from space.shelf import HARDENED

_TITLES = {
    "base": "Base model",
    "control": "Merge without protection",
    "protected": "Protected alone",
    "merged": "Merge with protection",
    "attacked": "The same after the attack",
}


def render(result: Result) -> str:
    """Return what is known so far."""
    return f'<div class="mg-result">{_verdict(result)}{_table(result)}{_note(result)}</div>'


def _verdict(result: Result) -> str:
    if result.attacked is None or "attacked" not in result.scores:
        return ""
    name = result.choice.defender
    base, after, control = (
        scores[name].value for scores in (result.base, result.scores["attacked"], result.scores["control"])
    )
    what = (
        f"In {result.attacked.seconds:.1f} s, with nothing but the release and the public base, the attack put "
        f"{100 * result.attacked.restored:.1f}% of the weights back to the bit."
    )
    kept = (after - base) / (control - base) if control > base else 0.0
    if control <= base:
        end = (
            " At this setting even the merge of unprotected models gains nothing, so there is nothing to compare with."
        )
    elif kept > 0.5:
        end = f" The merge now has {100 * after:.1f}% on {name}: this protection does not survive the attack."
    elif kept > 0:
        end = f" The merge now has {100 * after:.1f}% on {name}: the attack gets a part of the skill back."
    else:
        end = f" The merge still has only {100 * after:.1f}% on {name}, no more than the base: it survives this attack."
    if result.choice.protection == HARDENED:
        end += " What was put back are the weights as they were hardened in training; training is no rearrangement."
    return f'<p class="mg-verdict" role="status">{escape(what + end)}</p>'


def _table(result: Result) -> str:
    names = (result.choice.defender, result.choice.partner)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = {"base": result.base, **result.scores}
    body = "".join(
        f'<tr><th scope="row">{_TITLES[subject]}</th>'
        + "".join(_score(subject, name, scores[name]) for name in names)
        + "</tr>"
        for subject, scores in rows.items()
    )
    return f'<table class="mg-table"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'


def _score(subject: str, task: str, score: Score) -> str:
    value = 100 * score.value
    return (
        f'<td data-subject="{subject}" data-task="{escape(task)}"><b>{value:.1f}%</b>'
        f'<div class="mg-bar" aria-hidden="true"><i style="width:{value:.0f}%"></i></div></td>'
    )


def _note(result: Result) -> str:
    items = ITEMS[result.choice.family]
    counted = (
        "whole test sets" if items is None else f"{items} items of each task, so differences of 20 points mean little"
    )
    return f'<p class="mg-note">Scores on {counted}. The attack is told neither the recipe nor the key.</p>'
