"""Transfer: which part of a skill a merge has, and what a free-rider gets who wants two skills at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.errors import AuditError

Outcome = Literal["ruined", "no transfer", "not stopped"]

NO_GAIN = 0.1  # joint gain up to which a merge is not worth having (docs/audit.md)
RUINED_PARTNER = 0.5  # transfer of the partner's own skill below which the merge harms the free-rider


@dataclass(frozen=True)
class Transfer:
    """A part of a skill: 0 is what the base has, 1 what the fine-tuned model alone has; below 0 is worse than the base.

    Attributes:
        value: the part.
        standard_error: of the part, over the choice of items.
    """

    value: float
    standard_error: float


def transfer(merged: Score, *, base: Score, alone: Score) -> Transfer:
    """Return which part of a fine-tune's gain over the base a merge has.

    (merged - base) / (alone - base), all three on the same items. The standard error is that of a ratio of means by the
    delta method, item by item, so that items that are hard for every model do not count as chance.

    Args:
        merged: score of the merge.
        base: score of the base model.
        alone: score of the unprotected fine-tuned model.

    Raises:
        AuditError: the scores are on different numbers of items, or the fine-tuned model is no better than the base.
    """
    count = merged.items
    if not count == base.items == alone.items:
        raise AuditError(
            f"Scores on {merged.items}, {base.items} and {alone.items} items cannot be compared; put the same items to "
            "all models."
        )
    gain = alone.value - base.value
    if gain <= 0:
        raise AuditError(
            f"The fine-tuned model scores {alone.value:.3f} and the base {base.value:.3f}: there is no gain that a "
            f"merge could take over. Give the task that the model was fine-tuned on, or more than {count} items."
        )
    value = (merged.value - base.value) / gain
    rows = zip(merged.verdicts, base.verdicts, alone.verdicts, strict=True)
    squares = math.fsum(((m - b) - value * (a - b)) ** 2 for m, b, a in rows)
    return Transfer(value, math.sqrt(squares / max(1, count - 1) / count) / gain)


def joint_gain(defender: Transfer, partner: Transfer) -> Transfer:
    """Return what a free-rider gets who wants both skills: the smaller transfer, with its standard error.

    Keeping one model whole and adding a trace of the other is no merge worth having, and scores low here.
    """
    return min(defender, partner, key=lambda part: part.value)


def outcome(defender: Transfer, partner: Transfer) -> Outcome:
    """Return what became of a merge.

    "ruined": nothing of the defender's skill, and less than half of the partner's. "no transfer": a joint gain of at
    most 0.1, or within two standard errors of 0. "not stopped": anything else.
    """
    if defender.value <= 0 and partner.value < RUINED_PARTNER:
        return "ruined"
    joint = joint_gain(defender, partner)
    if joint.value <= max(NO_GAIN, 2 * joint.standard_error):
        return "no transfer"
    return "not stopped"
