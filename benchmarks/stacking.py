"""What stops merges that average no weights: `python -m benchmarks.stacking` writes results/stacking.md.

Frankenmerges of the zoo's image classifiers and Llamas, and upcycling of the Llamas to a mixture of experts, for four
recipes and the unprotected control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub import Recipe, ResidualShuffle, protect_folder
from mergeguard_hub.attacks import Frankenmerge, MergeAttack, Upcycling
from mergeguard_hub.audit import AuditReport, audit
from space.release import DEMO_KEY

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "stacking"
ZOO = ROOT / "space" / "zoo"
RESULT = ROOT / "benchmarks" / "results" / "stacking.md"
LIMIT, SCREEN = 60, 12  # items of each task, and for choosing among candidates


@dataclass(frozen=True)
class Case:
    """A defender, a partner and the merges that are tried.

    Attributes:
        family: of the zoo.
        defender: whose release is merged.
        partner: with whom.
        ways: the merges by name.
    """

    family: str
    defender: str
    partner: str
    ways: Mapping[str, MergeAttack]


CASES = (
    Case("vision", "scenes", "aerial", {"frankenmerge": Frankenmerge()}),
    Case("language", "math", "code", {"frankenmerge": Frankenmerge(), "upcycling": Upcycling()}),
)


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


def report_on(case: Case, number: int, recipe: Recipe) -> AuditReport:
    """Protect the defender with a recipe and carry out the merges."""
    place, weights = WORK / case.family / str(number), ZOO / case.family / "weights"
    if not (place / "release").exists():
        protect_folder(weights / case.defender, place / "release", recipe=recipe, key=DEMO_KEY, base=weights / "base")
    return audit(
        place / "release",
        original=weights / case.defender,
        base=weights / "base",
        partners=[weights / case.partner],
        tasks=[f"space.zoo.tasks:{case.family}_{name}" for name in (case.defender, case.partner)],
        work=place / "work",
        methods={},
        merge_attacks=case.ways,
        attacks={},
        limit=LIMIT,
        screen=SCREEN,
        recover=False,
    )


def lines(case: Case) -> Iterator[str]:
    """Yield a line for each way and recipe: both transfers of the best merge, and its joint gain."""
    reports = {title: report_on(case, number, recipe) for number, (title, recipe) in enumerate(recipes().items())}
    for way in case.ways:
        control = next(iter(reports.values())).cells(defender="original", method=way)
        rows = {"unprotected": control} | {
            title: report.cells(defender="protected", method=way) for title, report in reports.items()
        }
        for title, (row,) in rows.items():
            best = row["points"][0]
            ours, theirs = (part["value"] for part in best["transfers"])
            joint = f"**{best['joint']['value']:.2f} ± {best['joint']['standard_error']:.2f}**"
            yield f"| {way}, {case.defender} + {case.partner} | {title} | {ours:.2f} / {theirs:.2f} | {joint} |"


def main() -> None:
    """Measure, print the table and write it."""
    table = ["| merge | defender | our skill / partner's | joint gain |", "|---|---|---|---|"]
    for case in CASES:
        for line in lines(case):
            print(line, flush=True)
            table.append(line)
    facts = f"Transfers on {LIMIT} items of each task, of the best of the candidates."
    RESULT.write_text("\n".join([*table, "", facts]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
