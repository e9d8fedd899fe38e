"""Audit one protected model of each family of the zoo: `python -m benchmarks.audit [vision|language|images]...`.

Protects the defender with the preset `exact`, audits the release with two partners, and writes docs/audit/FAMILY.json,
its plots, and benchmarks/results/audit-FAMILY.md. What was measured is kept in build/audit/FAMILY, so that a run that
was stopped goes on; remove it to measure anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from mergeguard_hub import protect_folder
from mergeguard_hub.audit import AuditReport, audit
from mergeguard_hub.audit.plots import write_plots
from mergeguard_hub.audit.table import markdown
from space.release import DEMO_KEY

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "audit"
ZOO = ROOT / "space" / "zoo"


@dataclass(frozen=True)
class Case:
    """A defender, its partners, and on how much they are measured; as much as keeps a grid under twenty minutes.

    Attributes:
        defender: whose release is audited.
        partners: with whom it is merged.
        limit: items of each task for a cell of the grid; the headline's merges are scored on all.
        screen: items by which searches choose.
    """

    defender: str
    partners: tuple[str, ...]
    limit: int
    screen: int


CASES = {
    "vision": Case("scenes", ("aerial", "digits"), 200, 60),
    "language": Case("math", ("code", "style"), 50, 12),
    "images": Case("hero", ("styles",), 16, 6),
}


@click.command()
@click.argument("families", nargs=-1, type=click.Choice(list(CASES)), metavar="[FAMILY]...")
@click.option("--budget", type=float, help="Seconds for each family; a second run goes on from there.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "build" / "audit")
def main(families: tuple[str, ...], budget: float | None, work: Path) -> None:
    """Audit the FAMILIES named, or all."""
    for name in families or CASES:
        report = audit_family(name, work / name, budget)
        RESULTS.joinpath(f"audit-{name}.md").write_text(text(name, report), encoding="utf-8")
        report.write(PICTURES / f"{name}.json")
        write_plots(report, PICTURES, name=name)
        print(text(name, report))


def audit_family(name: str, work: Path, budget_s: float | None) -> AuditReport:
    """Protect a family's defender and audit the release."""
    case, weights = CASES[name], ZOO / name / "weights"
    release = work / "release"
    if not release.exists():
        protect_folder(weights / case.defender, release, key=DEMO_KEY, base=weights / "base")
    start = time.monotonic()

    def tell(done: int, total: int, what: str) -> None:
        print(f"{time.monotonic() - start:7.0f} s  {done:4d} of {total}  {what}", flush=True)

    return audit(
        release,
        original=weights / case.defender,
        base=weights / "base",
        partners=[weights / partner for partner in case.partners],
        tasks=[f"space.zoo.tasks:{name}_{model}" for model in (case.defender, *case.partners)],
        work=work / "work",
        limit=case.limit,
        screen=case.screen,
        budget_s=budget_s,
        progress=tell,
    )


def text(name: str, report: AuditReport) -> str:
    """Return the tables with what was measured and how long it took."""
    case, content = CASES[name], report.content
    cells = len(content["cells"])
    facts = (
        f"*{case.defender}* of the {name} family, protected with `exact`: {cells} cells in "
        f"{content['processor_s'] / 60:.0f} minutes of processor time; {case.limit} "
        f"items per task in the grid, {case.screen} for searches, all items for the headline."
    )
    return f"{facts}\n\n{markdown(report)}"


if __name__ == "__main__":
    main()
