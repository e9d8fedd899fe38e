"""One figure for a family: what each merge keeps of both skills, unprotected beside protected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

Results = dict[str, Any]

_COLOURS = ("#4b57c9", "#e0703c")  # the defender's skill, the partner's; told apart without seeing red and green
_STAGES = ("base", "fine-tuned", "merge,\nunprotected", "merge,\nprotected")


def plot_family(results: Results, file: Path, *, pairs: int = 4) -> None:
    """Draw accuracy of base, fine-tunes and merges as bars with standard errors, one panel per pair, into a PNG.

    Of the merge methods each panel shows the one whose unprotected merge serves the free-rider best.

    Args:
        results: of `space.zoo.train`, with "scores" and "merges".
        file: where the picture goes.
        pairs: no more panels than this; the first pairs.
    """
    chosen = list(dict.fromkeys((row["defender"], row["partner"]) for row in results["merges"]))[:pairs]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.2 * len(chosen), 3.6), layout="constrained")
        panels = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
        for panel, (defender, partner) in zip(panels, chosen, strict=True):
            _draw_pair(panel, results, defender, partner)
        panels[0].set_ylabel("score, %")
        figure.savefig(file, dpi=110, metadata={"Software": None})


def best_method(results: Results, defender: str, partner: str) -> str:
    """Return the merge method whose unprotected merge has the best weaker skill, relative to the fine-tunes."""

    def weaker_skill(row: Results) -> float:
        return min(
            row["scores"][task]["value"] / results["scores"][task][task]["value"] for task in (defender, partner)
        )

    rows = [row for row in _rows(results, defender, partner) if not row["protected"]]
    return str(max(rows, key=weaker_skill)["method"])


def _draw_pair(panel: Any, results: Results, defender: str, partner: str) -> None:
    method = best_method(results, defender, partner)
    control, protected = sorted(
        (row for row in _rows(results, defender, partner) if row["method"] == method),
        key=lambda row: bool(row["protected"]),
    )
    for side, (task, colour) in enumerate(zip((defender, partner), _COLOURS, strict=True)):
        alone = results["scores"]
        scores = [alone["base"][task], alone[task][task], control["scores"][task], protected["scores"][task]]
        places = [stage + 0.4 * side - 0.2 for stage in range(len(_STAGES))]
        values = [100 * score["value"] for score in scores]
        errors = [100 * score["standard_error"] for score in scores]
        bars = panel.bar(places, values, 0.38, yerr=errors, color=colour, label=f"skill {task!r}", ecolor="#555")
        panel.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    panel.set_title(f"{defender} + {partner}, {method}", fontsize=10)
    panel.set_xticks(range(len(_STAGES)), _STAGES, fontsize=8)
    panel.set_ylim(0, 112)
    panel.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def _rows(results: Results, defender: str, partner: str) -> list[Results]:
    return [row for row in results["merges"] if (row["defender"], row["partner"]) == (defender, partner)]
