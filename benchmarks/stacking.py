"""What stops merges that average no weights: `python -m benchmarks.stacking` writes results/stacking.md.

Frankenmerges and upcycling to a mixture of experts, on the zoo's Llamas, for four recipes and the unprotected control.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub import Recipe, ResidualShuffle, protect_folder
from mergeguard_hub.attacks import Frankenmerge, Upcycling
from mergeguard_hub.audit import AuditReport, audit
from space.release import DEMO_KEY

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "stacking"
RESULT = ROOT / "benchmarks" / "results" / "stacking.md"
WEIGHTS = ROOT / "space" / "zoo" / "language" / "weights"
DEFENDER, PARTNER = "math", "code"
LIMIT, SCREEN = 60, 12  # items of each task, and for choosing among candidates
WAYS = {"frankenmerge": Frankenmerge(), "upcycling": Upcycling()}


def recipes() -> dict[str, Recipe]:
    """Return the recipes by the name that the table gives them."""
    exact = Recipe.preset("exact")
    unshuffled = Recipe([stage for stage in exact.stages if not isinstance(stage, ResidualShuffle)])
    return {
        "`exact`": exact,
        "`exact` without the residual shuffle": unshuffled,
        "`mergelock`": Recipe.preset("mergelock"),
        "`params`": Recipe.preset("params"),
    }


def report_on(number: int, recipe: Recipe) -> AuditReport:
    """Protect the defender with a recipe and carry out the merges."""
    place = WORK / str(number)
    if not (place / "release").exists():
        protect_folder(WEIGHTS / DEFENDER, place / "release", recipe=recipe, key=DEMO_KEY, base=WEIGHTS / "base")
    return audit(
        place / "release",
        original=WEIGHTS / DEFENDER,
        base=WEIGHTS / "base",
        partners=[WEIGHTS / PARTNER],
        tasks=[f"space.zoo.tasks:language_{name}" for name in (DEFENDER, PARTNER)],
        work=place / "work",
        methods={},
        merge_attacks=WAYS,
        attacks={},
        limit=LIMIT,
        screen=SCREEN,
    )


def line(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a line of the table: for each way both transfers of the best merge, and its joint gain."""
    cells = []
    for way in WAYS:
        best = rows[way]["points"][0]
        ours, theirs = (part["value"] for part in best["transfers"])
        joint = best["joint"]
        cells.append(f"{ours:.2f} / {theirs:.2f} | **{joint['value']:.2f} ± {joint['standard_error']:.2f}**")
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    """Measure, print the table and write it."""
    lines = [
        "| defender | frankenmerge: our skill / partner's | joint gain | upcycling: ours / partner's | joint gain |"
    ]
    lines.append("|---|---|---|---|---|")
    for number, (title, recipe) in enumerate(recipes().items()):
        report = report_on(number, recipe)
        for defender, name in (("original", "unprotected"), ("protected", title)):
            if defender == "protected" or number == 0:
                found = {way: report.cells(defender=defender, method=way)[0] for way in WAYS}
                lines.append(line(name, found))
                print(lines[-1], flush=True)
    facts = f"*{DEFENDER}* with *{PARTNER}*; transfers on {LIMIT} items of each task, of the best of the candidates."
    RESULT.write_text("\n".join([*lines, "", facts]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
