"""How the zoo comes out when it is trained again from nothing: `python -m benchmarks.zoo_again build/zoo`.

Reads what `make zoo` wrote and puts each model's score beside the shipped model's, the processor time that its training
took, and the best control merge of each pair: what the best of an average and three of task arithmetic keeps of both
gains over the base.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.render_docs import ROOT
from space.zoo.merged import transfer
from space.zoo.report import percent
from space.zoo.train import FAMILIES, ZOO

RECORD = ROOT / "benchmarks" / "results" / "zoo-again.json"
_ORDINARY = ("average", "task arithmetic")  # how the names of the merges begin that the control may be

Results = dict[str, Any]


@click.command()
@click.argument("again", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(again: Path | None) -> None:
    """Compare the zoo in the folder AGAIN with the shipped one; without it, print what was compared last."""
    if again is not None:
        known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        found = {name: compared(name, again) for name in FAMILIES if (again / name / "results.json").exists()}
        RECORD.write_text(json.dumps({**known, **found}, indent=1) + "\n", encoding="utf-8")
    text = "\n".join(table(json.loads(RECORD.read_text(encoding="utf-8")))) + "\n"
    RECORD.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def compared(family: str, again: Path) -> Results:
    """Return scores, times and controls of a family, as shipped and as trained again."""
    shipped, trained = (json.loads((place / family / "results.json").read_text()) for place in (ZOO, again))
    controls = dict(_controls(trained))
    times = json.loads((again / family / "weights" / "times.json").read_text())
    return {
        "minutes": {model: round(seconds / 60, 1) for model, seconds in times.items()},
        "same": [model for model in times if _same(*(place / family / "weights" / model for place in (ZOO, again)))],
        "scores": {
            model: {"shipped": scores[model], "again": trained["scores"][model][model]}
            for model, scores in shipped["scores"].items()
            if model in scores and model in trained["scores"]
        },
        "controls": [
            {"pair": pair, "shipped": kept, "again": controls[pair]}
            for pair, kept in _controls(shipped)
            if pair in controls
        ],
    }


def _same(one: Path, other: Path) -> bool:
    """Say whether two folders hold the same weights to the byte."""
    files, others = (sorted(path.relative_to(place) for path in place.rglob("*.safetensors")) for place in (one, other))
    return files == others and all((one / file).read_bytes() == (other / file).read_bytes() for file in files)


def _controls(results: Results) -> Iterator[tuple[str, list[float]]]:
    """Yield each pair with what its best ordinary merge keeps of the defender's gain and of the partner's."""
    kept: dict[str, list[list[float]]] = {}
    for row in results["merges"]:
        if not row["protected"] and row["method"].startswith(_ORDINARY):
            parts = [
                transfer(
                    row["scores"][model]["value"],
                    base=results["scores"]["base"][model]["value"],
                    alone=results["scores"][model][model]["value"],
                )
                for model in (row["defender"], row["partner"])
            ]
            kept.setdefault(f"{row['defender']} + {row['partner']}", []).append(parts)
    yield from ((pair, max(found, key=min)) for pair, found in kept.items())


def table(families: Results) -> Iterator[str]:
    """Yield the lines of the Markdown tables."""
    yield "| model | shipped | trained again | weights | processor time |"
    yield "|---|---|---|---|---|"
    for family, found in families.items():
        for model, minutes in found["minutes"].items():
            scores = found["scores"].get(model)
            cells = [percent(scores[which]) for which in ("shipped", "again")] if scores else ["", ""]
            weights = "the same to the byte" if model in found["same"] else "others"
            yield f"| {family}/{model} | {' | '.join(cells)} | {weights} | {minutes:.1f} min |"
    total = sum(sum(found["minutes"].values()) for found in families.values())
    yield f"| all |  |  |  | {total:.0f} min |"
    yield ""
    yield "| pair | best control: kept of both gains, shipped | trained again |"
    yield "|---|---|---|"
    for family, found in families.items():
        for row in found["controls"]:
            yield f"| {family}: {row['pair']} | {_kept(row['shipped'])} | {_kept(row['again'])} |"


def _kept(parts: list[float]) -> str:
    return " / ".join(f"{100 * part:.0f} %" for part in parts)


if __name__ == "__main__":
    main()
