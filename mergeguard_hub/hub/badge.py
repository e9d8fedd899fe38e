"""The badge: one small picture of our own that says what is true of a release, to eyes and to screen readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import escape

from mergeguard_hub.hub.measured import MeasuredMerges

# Advance widths of DejaVu Sans at 11 px, of the characters that are not near the mean; `textLength` does the rest.
_NARROW, _WIDE, _MEAN = 4.0, 10.0, 6.9
_HEIGHT, _PADDING = 20, 8
# White on each has a contrast of at least 4.5 (WCAG 2 AA).
_COLOURS = {"protected": "#1f6f43", "measured": "#0b5fa5", "hardened": "#5b3a99", "modified": "#b3261e"}
_PRESETS = ("exact", "params", "mergelock")
_LABEL_COLOUR = "#3b4048"

BadgeState = Literal["protected", "measured", "hardened", "modified"]


@dataclass(frozen=True)
class Badge:
    """What a badge says.

    Attributes:
        label: on the left.
        message: on the right.
        state: which decides the colour.
    """

    label: str
    message: str
    state: BadgeState

    @property
    def title(self) -> str:
        """The sentence for who does not see it."""
        return f"{self.label}: {self.message}"

    def svg(self) -> str:
        """Return the picture; the same badge always gives the same bytes."""
        left, right = (_width(text) + 2 * _PADDING for text in (self.label, self.message))
        title, label, message = (escape(text, {'"': "&quot;"}) for text in (self.title, self.label, self.message))
        whole, text_y, colour = left + right, 14, _COLOURS[self.state]
        # No ids: several badges may stand in one page.
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{_HEIGHT}" '
            f'viewBox="0 0 {whole} {_HEIGHT}" role="img" aria-label="{title}">\n'
            f"<title>{title}</title>\n"
            f'<rect width="{whole}" height="{_HEIGHT}" rx="3" fill="{colour}"/>'
            f'<path d="M{left} 0H3a3 3 0 0 0-3 3v14a3 3 0 0 0 3 3h{left - 3}z" fill="{_LABEL_COLOUR}"/>\n'
            '<g fill="#fff" font-family="DejaVu Sans,Verdana,Geneva,sans-serif" font-size="11" aria-hidden="true">'
            f'<text x="{_PADDING}" y="{text_y}" textLength="{left - 2 * _PADDING}">{label}</text>'
            f'<text x="{left + _PADDING}" y="{text_y}" textLength="{right - 2 * _PADDING}">{message}</text></g>\n'
            "</svg>\n"
        )

    def shields_url(self) -> str:
        """Return the address of a like badge at shields.io, for who prefers it; it is fetched when it is looked at."""
        parts = [quote(text.replace("-", "--").replace("_", "__"), safe="") for text in (self.label, self.message)]
        return f"https://img.shields.io/badge/{parts[0]}-{parts[1]}-{_COLOURS[self.state].lstrip('#')}"


def badge_of(record: dict[str, Any], *, intact: bool, measured: MeasuredMerges | None = None) -> Badge:
    """Return the badge that follows from the facts.

    "Hardened" is what an audit has found to hold after attacks: a free-rider does best by leaving the release out.

    Args:
        record: of the release.
        intact: whether the weights are those that it was made for.
        measured: merges that were measured; they count only if they were measured on these weights.
    """
    label = "merge-protected"
    if not intact:
        return Badge(label, "modified", "modified")
    if measured is not None and measured.after_attacks and measured.digest == record["digest"]:
        state: BadgeState = "hardened" if measured.held else "measured"
        worst = round(measured.worst.value, 2) + 0.0  # not -0.00
        return Badge(label, f"{state}: worst transfer {worst:.2f} after attacks", state)
    name = record["recipe"]["name"]  # anything, "measured" too: it is shown where the record bears it out
    known = name in _PRESETS and (name != "exact" or record["exact"])
    return Badge(label, str(name) if known else "custom recipe", "protected")


def _width(text: str) -> int:
    widths = (_NARROW if c in " .,:;!|'ijlItfr()[]-" else _WIDE if c in "mwMW@%" else _MEAN for c in text)
    return round(sum(widths))
