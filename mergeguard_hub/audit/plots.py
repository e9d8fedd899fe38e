"""An audit as pictures: the grid as a heat map, and both skills along the merge path."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.audit.defaults import PATH, WITHOUT
from mergeguard_hub.audit.record import AuditReport
from mergeguard_hub.audit.table import title_of
from mergeguard_hub.errors import AuditError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK = 0.62  # shade of red from which a number is written in white
_STYLES: Sequence[tuple[str, str, str, str]] = (
    ("original", "", "unprotected", "-"),
    ("protected", "", "protected", "--"),
    ("protected", "alignment", "protected, aligned to the base", ":"),
)
_TRAINED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "base": ("the base model, without ours", {"color": "#777777", "linestyle": "-", "marker": "o"}),
    "unprotected": ("average with the unprotected original", {"color": "#2166ac", "linestyle": "-", "marker": "o"}),
    "protected": ("average with the release", {"color": "#b2182b", "linestyle": "--", "marker": "o"}),
    "aligned": (
        "average with the release, aligned to the base",
        {"color": "#b2182b", "linestyle": ":", "marker": "s", "markersize": 10, "markerfacecolor": "none"},
    ),
    "grad_erase": ("average with the release, by GradErase", {"color": "#d6604d", "linestyle": "-.", "marker": "^"}),
    "distilled": ("the base, on the answers of both models", {"color": "#4d9221", "linestyle": "-.", "marker": "v"}),
}
_DEFENDER, _PARTNER = "#b2182b", "#2166ac"


def write_plots(report: AuditReport, folder: str | Path, *, name: str = "audit") -> list[Path]:
    """Write NAME-grid.png, NAME-path.png and NAME-recovery.png, those for which there are figures.

    Args:
        report: the audit.
        folder: where they go; made if it is not there.
        name: how their names begin.

    Returns:
        What was written.

    Raises:
        AuditError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AuditError("Plots need matplotlib: pip install 'mergeguard-hub[audit]'.") from error
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, draw in (("grid", draw_grid), ("path", draw_path), ("recovery", draw_recovery)):
        figure = Figure(layout="constrained")
        if draw(report, figure):
            written.append(folder / f"{name}-{kind}.png")
            figure.savefig(written[-1], dpi=110)
    return written


def draw_grid(report: AuditReport, figure: Figure) -> bool:
    """Draw joint gains, attacks down and merges across, a panel for each partner. Returns whether there are any."""
    partners = _partners(report)
    shown = [row for row in report.content["cells"] if row["points"] and row["method"] not in (WITHOUT, PATH)]
    ways = list(dict.fromkeys(row["method"] for row in shown))
    kinds = list(dict.fromkeys((row["defender"], row["attack"]) for row in report.content["cells"]))
    if not partners or not ways:
        return False
    figure.set_size_inches(max(9.0, 3.4 + 0.62 * len(ways)), (1.6 + 0.34 * len(kinds)) * len(partners) + 1.4)
    _head(
        figure,
        f"What a free-rider gets by merging {_ours(report)} with another fine-tune",
        "Joint gain of the best merge: 0 or less (light) = one of the two skills is lost, 1 (dark) = both whole. "
        "Rows: what was done to our model first. Columns: how it was merged.",
    )
    panels = figure.subplots(len(partners), 1, squeeze=False, sharex=True)
    for axes, partner in zip(panels[:, 0], partners, strict=True):
        gains = [[_joint(report, partner, kind, way) for way in ways] for kind in kinds]
        picture = axes.imshow(
            [[float("nan") if gain is None else gain for gain in row] for row in gains],
            "Reds",
            aspect="auto",
            vmin=0,
            vmax=1,
        )
        for y, row in enumerate(gains):
            for x, gain in enumerate(row):
                text = "" if gain is None else f"{gain:.2f}" if gain > -1 else f"{gain:.1f}"
                colour = "white" if gain is not None and gain > _DARK else "black"
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
            if all(gain is None for gain in row):
                middle = (len(ways) - 1) / 2
                axes.text(middle, y, "could not be done here", ha="center", va="center", fontsize=8, style="italic")
        axes.set_yticks(range(len(kinds)), [_kind(report, kind) for kind in kinds], fontsize=8)
        titles = [title_of(report.content, way) for way in ways]
        axes.set_xticks(range(len(ways)), titles, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.axhline(0.5, color="black", linewidth=1)
        axes.set_title(f"merged with {partner}", fontsize=10, loc="left")
    figure.colorbar(picture, ax=panels, shrink=0.5, label="joint gain")
    return True


def draw_path(report: AuditReport, figure: Figure) -> bool:
    """Draw both skills against the merge weight, a panel for each partner. Returns whether there are any."""
    partners = [one for one in _partners(report) if report.cells(partner=one, method=PATH)]
    if not partners:
        return False
    figure.set_size_inches(max(8.0, 5.2 * len(partners)), 5.0)  # so that the legend has room
    _head(
        figure,
        f"Both skills on the line from the partner to {_ours(report)}, and beyond",
        "A merge worth having keeps both lines of one style high at one weight. What lies below -1 is not drawn.",
    )
    panels = figure.subplots(1, len(partners), squeeze=False, sharey=True)
    for axes, partner in zip(panels[0], partners, strict=True):
        _draw_lines(report, partner, axes)
        axes.set_title(f"merged with {partner}", fontsize=10, loc="left")
        axes.set_xlabel("weight of our model (0: the partner alone, 1: ours alone)")
        for alone in (0, 1):
            axes.axvline(alone, color="grey", linewidth=0.8, alpha=0.5)
    panels[0][0].set_ylabel("transfer (0: the base, 1: the fine-tuned model)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return True


def draw_recovery(report: AuditReport, figure: Figure) -> bool:
    """Draw joint gains against steps of training, a panel for each partner. Returns whether there are any."""
    curves = [curve for curve in report.content["recovery"] if curve["points"]]
    partners = list(dict.fromkeys(curve["partner"] for curve in curves))
    if not partners:
        return False
    figure.set_size_inches(max(8.0, 5.2 * len(partners)), 5.0)
    _head(
        figure,
        f"Training the average of {_ours(report)} and a partner back on a few labelled examples",
        "Joint gain: 0 = the base, 1 = both skills whole. What the free-rider saves by starting from a merge is the "
        "distance to the grey line.",
    )
    panels = figure.subplots(1, len(partners), squeeze=False, sharey=True)
    for axes, partner in zip(panels[0], partners, strict=True):
        for curve in curves:
            if curve["partner"] == partner:
                title, style = _TRAINED[curve["kind"]]
                at = [point["steps"] for point in curve["points"]]
                axes.plot(at, [point["joint"] for point in curve["points"]], label=title, **style)
        axes.set_xscale("symlog", linthresh=3)
        axes.set_xticks(at, [str(step) for step in at])
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_ylim(top=1.1)
        axes.set_title(f"merged with {partner}", fontsize=10, loc="left")
        axes.set_xlabel(f"steps on {curves[0]['examples']} labelled examples of each skill")
    panels[0][0].set_ylabel("joint gain")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return True


def _draw_lines(report: AuditReport, partner: str, axes: Axes) -> None:
    for defender, attack, title, style in _STYLES:
        rows = report.cells(defender=defender, attack=attack, partner=partner, method=PATH)
        if not rows or not rows[0]["points"]:
            continue
        points = sorted(rows[0]["points"], key=lambda point: float(point["settings"]["lambda"]))
        at = [point["settings"]["lambda"] for point in points]
        for position, (skill, colour) in enumerate((("our skill", _DEFENDER), ("partner's skill", _PARTNER))):
            values = [point["transfers"][position]["value"] for point in points]
            width = 3.5 if style == ":" else 1.5  # the aligned lines often lie on those of the control
            axes.plot(at, values, style, color=colour, linewidth=width, alpha=0.8, label=f"{skill}, {title}")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_ylim(max(-1.0, min(axes.get_ylim()[0], -0.2)), 1.2)  # far below 0 all is alike


def _partners(report: AuditReport) -> list[str]:
    return list(dict.fromkeys(row["partner"] for row in report.content["cells"]))


def _joint(report: AuditReport, partner: str, kind: tuple[str, str], way: str) -> float | None:
    rows = report.cells(defender=kind[0], attack=kind[1], partner=partner, method=way)
    points: Sequence[Mapping[str, Any]] = rows[0]["points"] if rows else ()
    return float(points[0]["joint"]["value"]) if points else None


def _kind(report: AuditReport, kind: tuple[str, str]) -> str:
    defender, attack = kind
    if defender == "original":
        return "unprotected (control)"
    return title_of(report.content, attack) if attack else "released, no attack"


def _ours(report: AuditReport) -> str:
    return repr(str(report.content["models"]["original"]["name"]))


def _head(figure: Figure, title: str, how: str) -> None:
    """Write what is shown and how it is read, so that a picture needs no text beside it."""
    width = int(figure.get_figwidth() * 14.5)  # characters of a line
    lines = textwrap.wrap(title, int(width * 0.72), break_long_words=True) + textwrap.wrap(how, width)
    figure.suptitle("\n".join(lines), fontsize=10, x=0.01, ha="left")
