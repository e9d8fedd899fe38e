"""Measure both fingerprints: `python -m benchmarks.lineage` writes results/lineage-*.md and docs/fingerprint/*.png.

Makes the families first (`python -m benchmarks.families.make`), into build/families; fingerprints and merges are kept
in build/lineage, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.families.architectures import ARCHITECTURES
from benchmarks.families.derivatives import MODELS, Plan
from benchmarks.families.make import FOLDER, ROOT, Model, make_families
from benchmarks.lineage.control import control_table, width_table
from benchmarks.lineage.described import Described, describe, random_models, zoo_models
from benchmarks.lineage.pairs import all_pairs, recognition_table
from benchmarks.lineage.parts import attribution_table, parts
from benchmarks.lineage.pictures import draw_curves, draw_dendrograms
from benchmarks.lineage.sorting import accuracy_table, bases_of, one_of_each_shape

WORK = ROOT / "build" / "lineage"
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "fingerprint"


def evaluate(models: Sequence[Model], work: Path, *, results: Path, pictures: Path) -> None:
    """Measure everything on some models, and write tables and plots."""
    pictures.mkdir(parents=True, exist_ok=True)
    pool = describe(models, work / "fingerprints")
    apart = next(one_of_each_shape(pool))
    random = describe(
        random_models([one.model for one in bases_of(apart).values()], work / "random"), work / "fingerprints"
    )
    pairs = all_pairs(pool)
    tables = {
        "families": accuracy_table(pool),
        "control": control_table(pool, random),
        "width": width_table(),
        "recognition": recognition_table(pairs),
    }
    for name, table in tables.items():
        _write(results / f"lineage-{name}.md", table)
    draw_curves(pairs, pictures / "recognition.png")
    _draw_set(pool, apart, pictures)
    _write(results / "lineage-attribution.md", attribution_table(list(parts(pool, work / "merges"))))


def _draw_set(pool: Sequence[Described], apart: Sequence[Described], pictures: Path) -> None:
    shapes = max((one.model.shapes for one in pool), key=lambda s: sum(one.model.shapes == s for one in pool))
    alike = [one for one in pool if one.model.shapes == shapes]
    draw_dendrograms(apart, pictures / "one-of-each-shape.png", title="One base of each shape and its derivatives")
    draw_dendrograms(alike, pictures / "same-shapes.png", title=f"Bases of the same shapes ({shapes})")


def _write(file: Path, table: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(table + "\n", encoding="utf-8")
    print(f"{file.name}\n{table}\n", flush=True)


def main() -> None:
    """Make the models and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=FOLDER, help="where the families are, or are to be made")
    parser.add_argument("--fresh", action="store_true", help="forget fingerprints and merges of earlier runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    made = make_families(options.models, architectures=ARCHITECTURES, models=MODELS, plan=Plan())
    models = [*made, *zoo_models(options.models)]
    evaluate(models, WORK, results=RESULTS, pictures=PICTURES)


if __name__ == "__main__":
    main()
