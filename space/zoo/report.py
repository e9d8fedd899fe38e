"""Print the zoo's scores and put them into docs/zoo.md, with plots and pictures: `python -m space.zoo.report`.

What `python -m space.zoo.train` measured is read from each family's results.json; with `--measure` the shipped models
are measured again first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from benchmarks.render_docs import ROOT
from benchmarks.render_docs import main as render_docs
from space.zoo.card import write_cards
from space.zoo.merged import transfer
from space.zoo.plot import plot_family
from space.zoo.train import FAMILIES, ZOO, measure_family

TABLES = ROOT / "benchmarks" / "results"
FIGURES = ROOT / "docs" / "zoo"

Results = dict[str, Any]


@click.command()
@click.option("--measure", is_flag=True, help="Measure the shipped models again; minutes for each family.")
@click.argument("families", nargs=-1, type=click.Choice(FAMILIES), metavar="[FAMILY]...")
def main(measure: bool, families: tuple[str, ...]) -> None:
    """Report on the FAMILIES named, or on all that were measured."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name in families or [name for name in FAMILIES if (ZOO / name / "results.json").exists()]:
        if measure:
            measure_family(name, ZOO)
        results = json.loads((ZOO / name / "results.json").read_text())
        text = "\n".join(report(name, results))
        (TABLES / f"zoo-{name}.md").write_text(text)
        print(text)
        plot_family(results, FIGURES / f"{name}.png")
        if (ZOO / name / "show.py").exists():
            import_module(f"space.zoo.{name}.show").show(FIGURES)
        write_cards(name, results)
    render_docs([])


def report(name: str, results: Results) -> Iterator[str]:
    """Yield the lines of a family's Markdown report: each model alone, then the merges."""
    times = _times(ZOO / name / "weights" / "times.json")
    sizes = {model: _megabytes(ZOO / name / "weights" / model) for model in results["scores"]}
    tasks = list(next(iter(results["scores"].values())))
    yield _row("model", *tasks, "size", "training")
    yield _row(*["---"] * (len(tasks) + 3))
    for model, scores in results["scores"].items():
        minutes = f"{times[model] / 60:.1f} min" if model in times else ""
        yield _row(model, *_cells(scores, tasks), f"{sizes[model]:.1f} MB", minutes)
    for model, scores in results["protected"].items():
        yield _row(f"{model}, protected release", *_cells(scores, tasks), "", "")
    yield ""
    yield _row(
        "defender + partner", "merge", "control: its skill / partner's", "kept", "protected: its / partner's", "kept"
    )
    yield _row(*["---"] * 6)
    yield from _merge_lines(results)
    yield ""


def _cells(scores: Results, tasks: list[str]) -> list[str]:
    """Return a cell for every task; empty where a model was not asked."""
    return [percent(scores[task]) if task in scores else "" for task in tasks]


def _merge_lines(results: Results) -> Iterator[str]:
    rows = results["merges"]
    for control, protected in zip(rows[::2], rows[1::2], strict=True):
        cells: list[str] = []
        for row in (control, protected):
            skills = [row["scores"][row["defender"]], row["scores"][row["partner"]]]
            cells.append(" / ".join(percent(skill) for skill in skills))
            cells.append(" / ".join(f"{100 * part:.0f} %" for part in kept(results, row)))
        yield _row(f"{control['defender']} + {control['partner']}", control["method"], *cells)


def kept(results: Results, row: Results) -> tuple[float, float]:
    """Return which part of the defender's and of the partner's gain over the base a merge keeps."""
    parts = []
    for model in (row["defender"], row["partner"]):
        base, alone = (results["scores"][of][model]["value"] for of in ("base", model))
        parts.append(transfer(row["scores"][model]["value"], base=base, alone=alone))
    return parts[0], parts[1]


def percent(score: Results) -> str:
    """Return a score in percent with its standard error."""
    return f"{100 * score['value']:.1f} ± {100 * score['standard_error']:.1f}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _times(file: Path) -> dict[str, float]:
    times: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    return times


def _megabytes(folder: Path) -> float:
    """Return the size of a folder's weights in 10^6 bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6


if __name__ == "__main__":
    main()
