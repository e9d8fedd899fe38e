"""`mergeguard audit`: a thin caller of `mergeguard_hub.audit`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergeguard_hub.cli.lists import ListCommand
from mergeguard_hub.cli.options import json_option, quiet_option
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.progress import counting_bar
from mergeguard_hub.cli.root import main

if TYPE_CHECKING:
    from mergeguard_hub.audit import AuditReport

_UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in the type stubs only
    """A time such as 90, 90s, 10m or 1.5h; seconds without a unit."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if found is None:
            self.fail(f"{value!r} is no time; write 90s, 10m or 1.5h.", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


@main.command(cls=ListCommand)
@click.argument("protected", metavar="PROTECTED")
@click.option("--original", required=True, metavar="ORIGINAL", help="The model that PROTECTED was made from.")
@click.option("--base", required=True, metavar="BASE", help="The public base model.")
@click.option("--partners", multiple=True, required=True, metavar="P...", help="Other fine-tunes of the base.")
@click.option(
    "--tasks",
    multiple=True,
    required=True,
    metavar="TASK...",
    help="The skill of PROTECTED, then of each partner: jsonl:FILE, pictures:FOLDER, lm-eval:NAME:METRIC, MODULE:NAME.",
)
@click.option(
    "--methods", multiple=True, metavar="NAME...", help="Merges to try; all by default, and 'all' beside others."
)
@click.option("--attacks", multiple=True, metavar="NAME...", help="Attacks to try; all by default, or 'none'.")
@click.option("--recovery", multiple=True, metavar="NAME...", help="Also by grad_erase, distilled; or 'none' at all.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("audit"), show_default=True)
@click.option("--budget", type=Duration(), help="Begin nothing new after this time: 90s, 10m, 1h.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="Items per task; 0: all.")
@click.option("--screen", type=click.IntRange(min=1), default=24, show_default=True, help="Items for searches.")
@click.option("--workers", type=click.IntRange(min=1), show_default="one per processor", help="Processes.")
@json_option
@quiet_option
def audit(
    protected: str,
    original: str,
    base: str,
    partners: tuple[str, ...],
    tasks: tuple[str, ...],
    methods: tuple[str, ...],
    attacks: tuple[str, ...],
    recovery: tuple[str, ...],
    out: Path,
    budget: float | None,
    limit: int,
    screen: int,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure what the release PROTECTED survives: every merge, after every attack, beside the unprotected control.

    Writes audit.json, audit.md and plots into OUT. What was measured is kept in OUT/work, so the same command goes on
    where it was stopped.
    """
    from mergeguard_hub.audit import audit as carry_out
    from mergeguard_hub.audit.plots import write_plots
    from mergeguard_hub.audit.selection import NONE, choose
    from mergeguard_hub.audit.table import markdown
    from mergeguard_hub.hub.source import local_folder

    tried = choose(methods, attacks)
    still = quiet or as_json or not sys.stderr.isatty()
    folders = [local_folder(source, quiet=still) for source in (protected, original, base, *partners)]
    with counting_bar(hidden=still) as progress:
        report = carry_out(
            folders[0],
            original=folders[1],
            base=folders[2],
            partners=folders[3:],
            tasks=tasks,
            work=out / "work",
            methods=tried[0],
            merge_attacks=tried[1],
            attacks=tried[2],
            recover=False if recovery == (NONE,) else [name.replace("-", "_") for name in recovery] or True,
            limit=limit or None,
            screen=screen,
            budget_s=budget,
            workers=workers,
            progress=progress,
        )
    report.write(out / "audit.json")
    (out / "audit.md").write_text(markdown(report), encoding="utf-8")
    write_plots(report, out)
    if as_json:
        print_json({"complete": report.content["complete"], "headlines": report.content["headlines"]})
    elif not quiet:
        _show(report, out)


def _show(report: AuditReport, out: Path) -> None:
    for one in report.content["headlines"]:
        worst, control, without = (one[kind]["joint"] for kind in ("worst", "control", "without"))
        say(
            f"with {one['partner']}: the best that any merge got of both skills is {worst['value']:.2f} ± "
            f"{worst['standard_error']:.2f} (unprotected {control['value']:.2f}, without this model "
            f"{without['value']:.2f}); advantage {one['advantage']:+.2f}."
        )
    failed = sum(bool(row["problem"]) for row in report.content["cells"])
    if failed:
        say(f"{failed} of {len(report.content['cells'])} cells could not be measured; the tables say why.")
    if not report.content["complete"]:
        say("The budget is over, so worse may be among the rest; the same command goes on from here.")
    say(f"{out / 'audit.md'}: tables; {out / 'audit.json'}: everything.")
