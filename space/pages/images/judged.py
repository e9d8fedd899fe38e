"""What the scorer's findings mean: whether a picture is what was asked for, and how often a skill is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from space.pages.images.compare import Candidate, Comparison
from space.pages.images.prompts import known
from space.zoo.images.captions import HERO, STYLES, Hero, Shown
from space.zoo.images.scorer import Seen

SKILLS: Mapping[str, str] = {
    "hero": "the hero",
    "styles": "the subject in a painting style",
    "papercut": "the subject in the paper-cut look",
    "neon": "the subject in the neon look",
}
"""What each fine-tune of the family can do, as a picture shows it."""

_STYLES = {"styles": STYLES, "papercut": ("papercut",), "neon": ("neon",)}


@dataclass(frozen=True)
class Finding:
    """One thing that the scorer looked for in a picture.

    Attributes:
        name: of the thing, for a reader.
        chance: that the picture shows it, in [0, 1]; a picture that is garbage shows nothing.
    """

    name: str
    chance: float


def findings(prompt: str, seen: Seen, skills: tuple[str, ...]) -> list[Finding]:
    """Return what a reader wants to know of a picture: what its prompt asks for, or else the skills compared."""
    shown = known().get(prompt)
    if shown is not None:
        answers = [answer for _, answer in _asked(shown)]
        named = ["hero" if answer == HERO else answer for answer in answers]
        return [Finding(name, seen.of(*asked)) for name, asked in zip(named, _asked(shown), strict=True)]
    found = []
    for skill in skills:
        if skill == "hero":
            found.append(Finding("hero", seen.of("subject", HERO)))
        else:
            name = "style" if skill == "styles" else skill
            found.append(Finding(name, sum(seen.of("style", style) for style in _STYLES[skill])))
    return found


def as_asked(prompt: str, seen: Seen) -> bool | None:
    """Say whether a picture shows all that its prompt asks for; None if the prompt is no caption of the family."""
    shown = known().get(prompt)
    return None if shown is None else all(seen.shows(head, answer) for head, answer in _asked(shown))


def rows_of(skill: str, comparison: Comparison, column: str) -> list[int]:
    """Return the rows that are about a skill.

    Args:
        skill: a key of `SKILLS`.
        comparison: the pictures.
        column: of the model that has the skill; where a prompt is no caption, what it draws decides.
    """
    seen = comparison.candidates[column].seen
    return [
        row
        for row, prompt in enumerate(comparison.prompts)
        if (_about(skill, known()[prompt]) if prompt in known() else _shows(skill, seen[row], prompt, seen[row]))
    ]


def count(skill: str, candidate: Candidate, rows: list[int], comparison: Comparison, column: str) -> int:
    """Return in how many of the rows a model shows a skill.

    Of the hero, only its presence counts, with any expression: that flatters the protection least. A style counts
    with its subject, because disorder alone looks like a mosaic to the scorer.

    Args:
        skill: a key of `SKILLS`.
        candidate: the model.
        rows: from `rows_of`.
        comparison: the pictures.
        column: as in `rows_of`; its pictures say what the subject is where the prompt is no caption.
    """
    own = comparison.candidates[column].seen
    return sum(_shows(skill, candidate.seen[row], comparison.prompts[row], own[row]) for row in rows)


def _asked(shown: Shown) -> list[tuple[str, str]]:
    """Return heads of the scorer and their right answers, of all that the captions of the skills are about."""
    subject = [("subject", HERO), ("expression", shown.expression)] if isinstance(shown, Hero) else []
    if not isinstance(shown, Hero):
        subject = [("subject", shown.subject)]
    return [*subject, *([("style", shown.style)] if shown.style else [])]


def _about(skill: str, shown: Shown) -> bool:
    return isinstance(shown, Hero) if skill == "hero" else shown.style in _STYLES[skill]


def _shows(skill: str, seen: Seen, prompt: str, own: Seen) -> bool:
    if skill == "hero":
        return seen.shows("subject", HERO)
    shown = known().get(prompt)
    styles = _STYLES[skill] if shown is None or shown.style is None else (shown.style,)
    subject = own.best("subject") if shown is None else dict(_asked(shown))["subject"]
    return seen.shows("subject", subject) and any(seen.shows("style", style) for style in styles)
