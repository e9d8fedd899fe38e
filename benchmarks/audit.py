"""Audit one protected model of each family of the zoo: `python -m benchmarks.audit [CASE]...`.

Protects the defender with the preset `exact`, audits the release, and writes docs/audit/CASE.json, its plots, and
benchmarks/results/audit-CASE.md. What was measured is kept in build/audit/CASE, so that a run that was stopped goes on;
remove it to measure anew; with --render nothing is measured. The case mergekit needs mergekit's environment, see
`make mergekit`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from mergeguard_hub import protect_folder
from mergeguard_hub.attacks import Alignment
from mergeguard_hub.audit import AuditReport, audit
from mergeguard_hub.audit.plots import write_plots
from mergeguard_hub.audit.table import markdown
from mergeguard_hub.merging.engines import MergekitMerge
from space.release import DEMO_KEY

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "audit"
ZOO = ROOT / "space" / "zoo"


@dataclass(frozen=True)
class Case:
    """A defender, its partners, and on how much they are measured; as much as keeps a grid under twenty minutes.

    Attributes:
        family: of the zoo.
        defender: whose release is audited.
        partners: with whom it is merged.
        limit: items of each task for a cell of the grid; the headline's merges are scored on all.
        screen: items by which searches choose.
        tried: methods, attacks on the merge and attacks on the release, where they are not the default ones.
        hardened: folder with the defender's hardened weights, which are protected and released in its place.
        raw: whether these are audited as they are, which is what a free-rider has after aligning a release.
    """

    family: str
    defender: str
    partners: tuple[str, ...]
    limit: int
    screen: int
    tried: Mapping[str, Any] = field(default_factory=dict)
    hardened: Path | None = None
    raw: bool = False


TOOL = {
    "linear": MergekitMerge("linear", weight=0.5, with_base=False),
    "task_arithmetic": MergekitMerge("task_arithmetic", {"lambda": 0.6}, 1.0),
    "ties": MergekitMerge("ties", {"density": 0.5}, 0.5),
    "dare_ties": MergekitMerge("dare_ties", {"density": 0.5}, 0.5),
    "breadcrumbs": MergekitMerge("breadcrumbs", {"density": 0.9, "gamma": 0.01}, 0.5),
    "della": MergekitMerge("della", {"density": 0.5}, 0.5),
    "sce": MergekitMerge("sce", {"select_topk": 0.1}),
    "karcher": MergekitMerge("karcher", with_base=False),
}
CASES = {
    "vision": Case("vision", "scenes", ("aerial", "digits"), 200, 60),
    "vision-hardened": Case(
        *("vision", "scenes", ("aerial", "digits"), 200, 60), hardened=ZOO / "vision" / "weights" / "scenes-hardened"
    ),
    "language": Case("language", "math", ("code", "style"), 50, 12),
    "images": Case("images", "hero", ("styles",), 16, 6),
    "mergekit": Case(
        *("vision", "scenes", ("aerial",), 200, 60),
        {"methods": TOOL, "merge_attacks": {}, "attacks": {"alignment": Alignment()}, "recover": False},
    ),
}


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)), metavar="[CASE]...")
@click.option("--budget", type=float, help="Seconds for each case; a second run goes on from there.")
@click.option("--render", is_flag=True, help="Write tables and plots again from docs/audit/CASE.json.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "build" / "audit")
def main(cases: tuple[str, ...], budget: float | None, render: bool, work: Path) -> None:
    """Carry out the CASES named, or all."""
    for name in cases or CASES:
        file = PICTURES / f"{name}.json"
        if render and not cases and not file.exists():
            continue
        report = AuditReport.read(file) if render else audit_case(CASES[name], work / name, budget)
        RESULTS.joinpath(f"audit-{name}.md").write_text(text(name, report), encoding="utf-8")
        if not render:
            report.write(file)
        write_plots(report, PICTURES, name=name)
        print(text(name, report))


def audit_case(case: Case, work: Path, budget_s: float | None = None) -> AuditReport:
    """Protect a case's defender and audit the release."""
    weights = ZOO / case.family / "weights"
    source = case.hardened or weights / case.defender
    release = source if case.raw else work / "release"
    if not release.exists():
        protect_folder(source, release, key=DEMO_KEY, base=weights / "base")
    start = time.monotonic()

    def tell(done: int, total: int, what: str) -> None:
        print(f"{time.monotonic() - start:7.0f} s  {done:4d} of {total}  {what}", flush=True)

    return audit(
        release,
        original=weights / case.defender,
        base=weights / "base",
        partners=[weights / partner for partner in case.partners],
        tasks=[f"space.zoo.tasks:{case.family}_{model}" for model in (case.defender, *case.partners)],
        work=work / "work",
        limit=case.limit,
        screen=case.screen,
        budget_s=budget_s,
        progress=tell,
        **case.tried,
    )


def text(name: str, report: AuditReport) -> str:
    """Return the tables with what was measured and how long it took."""
    case, content = CASES[name], report.content
    cells = len(content["cells"])
    name = (case.hardened or Path(case.defender)).name
    facts = (
        f"*{name}* of the {case.family} family, protected with `exact`: {cells} cells in "
        f"{content['processor_s'] / 60:.0f} minutes of processor time; {case.limit} "
        f"items per task in the grid, {case.screen} for searches, all items for the headline."
    )
    return f"{facts}\n\n{markdown(report)}"


if __name__ == "__main__":
    main()
