"""What a visitor chose, checked once for every page and for the API."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mergeguard_hub.errors import MergeGuardError
from mergeguard_hub.merging import MergeMethod
from space.merges import MERGES
from space.shelf import PROTECTIONS, SHELVES, Shelf

LONGEST_PROMPT = 400  # characters; more than any prompt of the zoo's tasks, and little work for any model


class ChoiceError(MergeGuardError):
    """A visitor asked for what the page does not offer."""


@dataclass(frozen=True)
class Choice:
    """A defender, a partner, how they are merged and how the defender is protected.

    Attributes:
        family: a key of `SHELVES`.
        defender, partner: names of two of its models.
        merge: a key of `MERGES`.
        weight: the merge's one number.
        protection: a key of `PROTECTIONS`.

    Raises:
        ChoiceError: one of them is not offered; the message says what is.
    """

    family: str
    defender: str
    partner: str
    merge: str
    weight: float
    protection: str = "exact"

    def __post_init__(self) -> None:
        _among(self.family, SHELVES, "family")
        skills = self.shelf.skills
        _among(self.defender, skills, "defender")
        _among(self.partner, skills, "partner")
        _among(self.merge, MERGES, "merge method")
        _among(self.protection, PROTECTIONS, "protection")
        if self.partner == self.defender:
            raise ChoiceError(f"{self.defender} cannot be merged with itself: choose another partner.")
        if self.protection not in self.shelf.protections(self.defender):
            raise ChoiceError(f"No hardened release of {self.defender} is shipped: choose another protection.")
        highest = MERGES[self.merge].highest
        number = self.weight
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ChoiceError(f"The merge weight is {number!r}: give a number from 0 to {highest:g}.")
        if not 0 <= number <= highest:
            raise ChoiceError(f"The merge weight of {self.merge} is {number:g}: give a number from 0 to {highest:g}.")

    @property
    def shelf(self) -> Shelf:
        """The family."""
        return SHELVES[self.family]

    @property
    def method(self) -> MergeMethod:
        """The merge method with its number."""
        return MERGES[self.merge].method(self.weight)


def usual(family: str) -> Choice:
    """Return what a tab shows before anybody chose: the family's first two models, merged in the first way."""
    defender, partner, *_ = SHELVES[family].skills
    merge, meaning = next(iter(MERGES.items()))
    return Choice(family, defender, partner, merge, meaning.start)


def checked_text(text: object, what: str) -> str:
    """Return what a visitor typed, without blanks around it.

    Args:
        text: as it came, from the page or from the API.
        what: it is, for the message: "prompt".

    Raises:
        ChoiceError: it is no text, empty, longer than `LONGEST_PROMPT`, or not to be written in UTF-8.
    """
    if not isinstance(text, str) or not text.strip():
        raise ChoiceError(f"The {what} is empty: write one, or take an example.")
    if len(text) > LONGEST_PROMPT:
        raise ChoiceError(f"The {what} has {len(text):,} characters: at most {LONGEST_PROMPT} are taken.")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ChoiceError(f"The {what} has half a character in it, which no model can read: write it again.")
    return text.strip()


def _among(value: object, offered: object, what: str) -> None:
    names = list(offered)  # type: ignore[call-overload]
    if not isinstance(value, str) or value not in names:
        shown = str(value)[:60]
        raise ChoiceError(f"There is no {what} {shown!r}: choose one of {', '.join(names)}.")
