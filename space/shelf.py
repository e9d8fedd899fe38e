"""The families of the zoo as the page offers them: who can be protected, who can be merged with, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ZOO = Path(__file__).parent / "zoo"
BASE = "base"
HARDENED = "hardened"

PROTECTIONS: dict[str, str] = {
    "exact": "rearranged",
    "mergelock": "random mixes",
    "params": "rearranged",
    HARDENED: "trained to fail",
}
"""What can be done to a defender, by its preset's name; `HARDENED` is a fine-tune of its own, protected exactly."""


@dataclass(frozen=True, eq=False)  # one of each, so that it can be a key
class Shelf:
    """A family of models that share a base.

    Attributes:
        name: of its folder in the zoo.
        skills: what each fine-tune can do, by its name; the first is the default defender, the second its partner.
        usual: the partner that a defender is measured with, where it has one.
    """

    name: str
    skills: Mapping[str, str]
    usual: Mapping[str, str] = field(default_factory=dict)

    def folder(self, model: str) -> Path:
        """Return the folder of a model of this family."""
        return ZOO / self.name / "weights" / model

    def hardened(self, defender: str) -> Path | None:
        """Return the folder of a defender that was hardened in training, or None if there is none."""
        folder = self.folder(f"{defender}-{HARDENED}")
        return folder if folder.is_dir() else None

    def protections(self, defender: str) -> list[str]:
        """Return what can be done to a defender, the default first."""
        return [name for name in PROTECTIONS if name != HARDENED or self.hardened(defender)]

    def partners(self, defender: str) -> list[str]:
        """Return everybody that a defender can be merged with, the usual partner first."""
        others = (name for name in self.skills if name != defender)
        return sorted(others, key=lambda name: name != self.usual.get(defender))


SHELVES: dict[str, Shelf] = {
    shelf.name: shelf
    for shelf in (
        Shelf(
            "images",
            {
                "hero": "a cartoon hero",
                "styles": "painting styles",
                "papercut": "a paper-cut look",
                "neon": "a neon look",
            },
            {"hero": "styles", "styles": "hero", "papercut": "neon", "neon": "papercut"},
        ),
        Shelf(
            "language",
            {"math": "word problems", "code": "Python from docstrings", "style": "answering in a style"},
        ),
        Shelf(
            "vision",
            {
                "scenes": "scenes",
                "aerial": "aerial views",
                "digits": "handwritten digits",
                "textures": "textures",
                "vehicles": "kinds of vehicle",
                "land": "land use",
                "numbers": "house numbers",
                "signs": "road signs",
            },
        ),
    )
}
