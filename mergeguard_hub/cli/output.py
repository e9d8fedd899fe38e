"""What is printed on stdout: sentences and tables for people, one JSON object for machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # imported late below: they would double the time of --help
    from rich.console import Console

    from mergeguard_hub.release.report import ComponentReport, Inspection, Report, StageReport, Verification

LOW_COVERAGE = 0.5  # of attention and MLP weights; below, a person is warned, our choice
_PIPED_WIDTH = 160  # columns when stdout is not a terminal, our choice


def one_line(text: str) -> str:
    """Return `text` on one line, with every character that could steer a terminal replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.splitlines()))


def say(*lines: str) -> None:
    """Print lines on stdout, each as `one_line` makes it."""
    for line in lines:
        click.echo(one_line(line))


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON has no form for (NaN, infinity) become null."""
    click.echo(json.dumps(_finite(content), indent=2, allow_nan=False))


def show_report(report: Report, target: Path) -> None:
    """Print what `protect` did."""
    if report.already:
        say(f"{target}: copied as it is, {report.id} was protected before and has not changed since.")
    else:
        kind = "bit for bit reversible with the key" if report.exact else "reversible with the key up to rounding"
        say(f"{target}: protected with {report.recipe}, {kind}.")
    _show_components(report.components)
    _show_stages(report.stages)
    for part in report.components:
        if part.covered < LOW_COVERAGE:
            share = f"{100 * part.covered:.1f} % of the attention and MLP weights"
            say(f"warning: {share} of {_component(part.name)} were moved; what the others learned may survive a merge.")
    for name, exponent in report.narrowed.items():
        say(f"{name}: factors only up to 2^{exponent}, so that no weight loses a bit in its dtype.")
    say(f"digest  {report.digest}", f"key id  {report.key_id}")
    if report.parent:
        say(f"parent  {report.parent}")


def show_unlocked(report: Report, target: Path) -> None:
    """Print what `unlock` did."""
    kind = "the original weights, bit for bit" if report.exact else "the original weights up to rounding"
    say(f"{target}: unlocked, {kind}.", f"digest  {report.digest}")


def show_verification(found: Verification, path: str, against: str | None, *, tables: bool = True) -> None:
    """Print whether a release is what it claims, and with an original whether it answers the same."""
    say(_verdict(found, path))
    if against is None or not found.drift:
        return
    rows = []
    for name, drift in found.drift.items():
        passed = drift <= found.tolerance[name]
        rows.append((_component(name), _error(drift), _error(found.tolerance[name]), "equal" if passed else "differs"))
    if tables:
        print_table(("component", "drift", "tolerance", "outputs"), rows, numbers=(1, 2))
    bad = [row[0] for row in rows if row[3] == "differs"]
    if bad:
        say(f"{path}: the outputs of {', '.join(bad)} differ from {against} by more than rounding explains.")
    else:
        say(f"{path}: the outputs agree with {against}.")


def show_inspection(found: Inspection, path: str) -> None:
    """Print what could be protected in a folder, and why the rest could not."""
    if found.claim:
        say(f"{path}: carries a protection claim; check it with `mergeguard verify`.")
    else:
        say(f"{path}: carries no protection claim.")
    _show_components(found.components)
    _show_stages(found.stages)


def _verdict(found: Verification, path: str) -> str:
    if found.state == "protected":
        return f"{path}: protected. Its weights are the ones that the claim was made for ({found.actual})."
    if found.state == "modified":
        return (
            f"{path}: modified. It claims to be {found.claimed}, but its weights are {found.actual}: they were changed "
            "after protecting, or the claim was inherited from another model."
        )
    return f"{path}: not protected. It carries no claim (its weights are {found.actual})."


def _show_components(components: Sequence[ComponentReport]) -> None:
    rows = [
        (
            _component(part.name),
            one_line(part.architecture),
            f"{part.parameters:,}",
            f"{100 * part.covered:.1f} %",
            f"{100 * part.moved:.1f} %",
            _error(part.block_drift),
            _error(part.model_drift),
        )
        for part in components
    ]
    titles = ("component", "architecture", "weights", "attention and MLP", "all weights", "block drift", "model drift")
    print_table(titles, rows, numbers=(2, 3, 4, 5, 6), title="Moved by the recipe")


def _show_stages(stages: Sequence[StageReport]) -> None:
    rows = [
        (
            _component(stage.component),
            one_line(stage.stage),
            stage.status,
            str(stage.spaces),
            _error(stage.error),
            one_line(stage.reason),
        )
        for stage in stages
    ]
    print_table(("component", "stage", "status", "spaces", "error", "reason"), rows, numbers=(3, 4), title="Stages")


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int], title: str = ""
) -> None:
    """Print rows under their titles, the columns `numbers` to the right; nothing without rows."""
    if not rows:
        return
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for position, name in enumerate(titles):
        table.add_column(name, justify="right" if position in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)


def _component(name: str) -> str:
    return one_line(name) or "model"


def _error(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
