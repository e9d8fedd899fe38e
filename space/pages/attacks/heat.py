"""The grid of an audit as a table: merges down, attacks across, the joint gain in each cell."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from mergeguard_hub.audit import AuditReport
from mergeguard_hub.audit.defaults import PATH, WITHOUT
from mergeguard_hub.audit.table import title_of

_LEGEND = (
    "Joint gain: the smaller of what a merge keeps of both skills; 0 or less is no better than the base, 1 is both "
    "skills whole. The first column merges the unprotected original."
)
_DARK = 0.6  # share of red from which a number is written in white


def render(report: AuditReport | None) -> str:
    """Return headline and grid for every partner of an audit."""
    if report is None:
        return '<p class="mg-note">No audit of this family is shipped.</p>'
    headlines = report.content["headlines"]
    parts = [_partner(report, headline, number == 0) for number, headline in enumerate(headlines)]
    return f'<div class="mg-result">{"".join(parts)}<p class="mg-note">{escape(_LEGEND)}</p></div>'


def _partner(report: AuditReport, headline: Mapping[str, Any], opened: bool) -> str:
    partner = headline["partner"]
    worst, control, without = (headline[name]["joint"]["value"] for name in ("worst", "control", "without"))
    attack = headline["worst"]["attack"]
    how = f"after {title_of(report.content, attack).lower()}" if attack else "without an attack"
    words = (
        f"{report.content['tasks'][0]['name']} with {partner}: the best that a free-rider gets is {worst:.2f} ({how}); "
        f"of the unprotected original {control:.2f}; without our model {max(0.0, without):.2f}."
    )
    return (
        f"<details {'open' if opened else ''}><summary>{escape(words)}</summary>"
        f'<div class="mg-scroll" tabindex="0" role="region" aria-label="{escape(partner)}">'
        f"{_table(report, partner)}</div></details>"
    )


def _table(report: AuditReport, partner: str) -> str:
    content = report.content
    cells = {
        (row["defender"], row["attack"], row["method"]): row for row in report.cells(partner=partner) if row["points"]
    }
    methods = [name for name in dict.fromkeys(key[2] for key in cells) if name not in (WITHOUT, PATH)]
    kinds = list(dict.fromkeys(key[:2] for key in cells))
    head = "".join(f'<th scope="col"><span>{escape(_kind(content, kind))}</span></th>' for kind in kinds)
    rows = "".join(
        f'<tr><th scope="row">{escape(title_of(content, method))}</th>'
        + "".join(_cell(cells.get((*kind, method))) for kind in kinds)
        + "</tr>"
        for method in methods
    )
    return (
        '<table class="mg-heat"><caption class="mg-hidden">Joint gains by merge and attack</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _kind(content: Mapping[str, Any], kind: tuple[str, str]) -> str:
    defender, attack = kind
    if defender == "original":
        return "unprotected"
    return title_of(content, attack) if attack else "as released"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "<td>–</td>"
    gain = float(row["points"][0]["joint"]["value"])
    share = min(max(gain, 0.0), 1.0)
    kind = "mg-hot" if share > _DARK else "mg-cool"
    return f'<td class="{kind}" style="--share:{100 * share:.0f}%">{gain:.2f}</td>'
