"""Audit the zoo's hardened releases as a free-rider who has aligned them has them: `python -m benchmarks.hardened`.

The vision release of seed 0 is the zoo's (`python -m space.zoo.harden`); all others are trained into build/hardened.
What is audited are their raw weights, which alignment gives back of the preset `exact` to the bit: every merge, also
after clipping, pruning or rounding (`CLEANING`), with partners that the training did not know, beside the finished
fine-tune that the release was made from. Headlines go to benchmarks/results/hardened.json and from there to
hardened.md. What was measured is kept in build/hardened, so that a run that was stopped goes on. The audit of a release
with `exact` on top is among those of benchmarks/audit.py.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.audit import RESULTS, ROOT, ZOO, Case, audit_case
from mergeguard_hub.audit import AuditReport
from mergeguard_hub.audit.defaults import ATTACKS_TRIED, MERGE_ATTACKS_TRIED, METHODS_TRIED
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.record import score_record
from mergeguard_hub.audit.table import named, title_of
from space.zoo.card import write_hardened_card
from space.zoo.hardened import FAMILIES, SHIPPED, HardenedModel, Settings, Variant, hardened_model
from space.zoo.images.grid import grid
from space.zoo.tasks import task
from space.zoo.train import teller

BUILD = ROOT / "build" / "hardened"
RECORD = RESULTS / "hardened.json"
PICTURE = ROOT / "docs" / "zoo" / "images-grid-hero-hardened.png"
CLEANING = {
    "vision": ("spectral_clipping", "pruning", "rounding_8_bit", "rounding_4_bit"),
    "language": ("spectral_clipping", "rounding_4_bit"),  # a cell takes ten times as long
    "images": ("spectral_clipping", "rounding_4_bit"),
}
QUICK = ("weight_averaging", "task_arithmetic_0.6", "ties", "model_stock", "rebasing", "plane_search")
ITEMS = {"vision": (200, 60), "language": (20, 6), "images": (8, 4)}  # of a grid's cell, of a search
_HEAD = (
    *("release", "seed", "alone", "the fine-tune alone", "also measured (the fine-tune)", "partner", "cells"),
    *("worst: joint gain", "how"),
    *("without our model", "advantage", "same, unprotected"),
)

Record = dict[str, Any]


@click.command()
@click.argument("families", nargs=-1, type=click.Choice(FAMILIES), metavar="[FAMILY]...")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings of each family.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes of an audit. Default: one per processor.")
@click.option("--quick", is_flag=True, help="The merges of QUICK only; without it, the audit goes on from there.")
@click.option("--variant", help="Audit that variant of the training, in families that have it.")
def main(families: tuple[str, ...], seeds: int, workers: int | None, quick: bool, variant: str | None) -> None:
    """Audit the releases of the FAMILIES named, or of all that have one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")  # of the training
    torch.set_num_threads(1)
    for family in families or FAMILIES:
        for seed in range(seeds):
            model = hardened_model(family, seed)
            if variant is not None and variant not in model.variants:
                continue
            folder = trained(model, seed, variant)
            name = " ".join((family, *([variant] if variant else []), str(seed)))
            report = audit_case(case(model, folder, workers, quick=quick), folder.with_name(f"{folder.name}-audit"))
            also = {"variant": variant, "besides": besides(model, ModelFolder(folder).load())}
            keep(name, {**record(model, seed, report), **also})
            if seed == 0 and family in SHIPPED and variant is None:
                publish(model)
            if seed == 0 and family == "images":
                grid(ZOO / family / "weights", model.defender, hardened=folder).save(PICTURE)
    RESULTS.joinpath("hardened.md").write_text(table(known()), encoding="utf-8")
    RESULTS.joinpath("hardened-summary.md").write_text(summary(known()), encoding="utf-8")
    RESULTS.joinpath("hardened-recipes.md").write_text(recipes(), encoding="utf-8")
    print(table(known()))


def trained(model: HardenedModel, seed: int, variant: str | None = None) -> Path:
    """Return the folder of a release or of a variant, which is trained if the zoo does not have it."""
    zoo = ZOO / model.family / "weights"
    if seed == 0 and model.family in SHIPPED and variant is None:
        return zoo / model.name
    chosen = Variant(model.make, model.phases) if variant is None else model.variants[variant]
    folder = BUILD / "-".join((model.family, *re.findall(r"[a-z]+", variant or ""), str(seed)))
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_suffix(".unfinished")
        steps = sum(settings.schedule.steps for settings in chosen.phases or model.phases)
        chosen.make(zoo, unfinished, teller(f"{folder.name}, of {model.name}", steps))
        unfinished.rename(folder)
    return folder


def case(model: HardenedModel, release: Path, workers: int | None, *, quick: bool = False) -> Case:
    """Return what is audited."""
    limit, screen = ITEMS[model.family]
    cleaning = CLEANING[model.family]
    tried: dict[str, Any] = {"attacks": {name: ATTACKS_TRIED[name] for name in cleaning}, "workers": workers}
    if quick:
        tried["attacks"] = {cleaning[0]: ATTACKS_TRIED[cleaning[0]]}
        tried["methods"] = {name: METHODS_TRIED[name] for name in METHODS_TRIED if name in QUICK}
        tried["merge_attacks"] = {name: MERGE_ATTACKS_TRIED[name] for name in MERGE_ATTACKS_TRIED if name in QUICK}
    return Case(model.family, model.defender, model.unseen, limit, screen, tried, hardened=release, raw=True)


def record(model: HardenedModel, seed: int, report: AuditReport) -> Record:
    """Return what is kept of an audit."""
    content = report.content
    skill = content["tasks"][0]["name"]
    return {
        "release": model.name,
        "family": model.family,
        "seed": seed,
        "complete": content["complete"],
        "cells": len(content["cells"]),
        "processor_s": content["processor_s"],
        "alone": {who: content["alone"][who][skill] for who in ("protected", "original")},
        "partners": {one["partner"]: headline(content, one) for one in content["headlines"]},
    }


def besides(model: HardenedModel, release: Any) -> Record:
    """Return the scores of a release and of its fine-tune on a longer test and on what else the fine-tune can do."""
    original = ModelFolder(ZOO / model.family / "weights" / model.defender).load()
    subjects = {"protected": release, "original": original}
    found: Record = {}
    asked = {name: task(model.family, name) for name in model.besides}
    if model.longer is not None:
        asked[f"{model.defender}, a longer test"] = model.longer()
    for name, test in asked.items():
        scores = {who: test.score(subject) for who, subject in subjects.items()}
        found[name] = {who: score_record(score) for who, score in scores.items()}
    return found


def headline(content: Mapping[str, Any], one: Mapping[str, Any]) -> Record:
    """Return an audit's headline for a partner with its merges in words."""
    found: Record = {"advantage": one["advantage"]}
    for kind in ("worst", "control", "without"):
        best = one[kind]
        attack = f"{title_of(content, best['attack'])}, then " if best["attack"] else ""
        found[kind] = {**best["joint"], "how": attack + named(title_of(content, best["method"]), best["label"])}
    return found


def keep(name: str, found: Record) -> None:
    """Write a record beside the others."""
    RECORD.write_text(json.dumps({**known(), name: found}, indent=1) + "\n", encoding="utf-8")


def publish(model: HardenedModel) -> None:
    """Put what was measured of the zoo's release where its card and the Space find it."""
    found = known()[f"{model.family} 0"]
    (ZOO / model.family / "hardened.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_hardened_card(model, found)


def known() -> dict[str, Record]:
    """Return the records that there are, by family and seed."""
    found: dict[str, Record] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    return found


def table(records: Mapping[str, Record]) -> str:
    """Return the Markdown table of all records."""
    return "\n".join(_lines(records)) + "\n"


def _lines(records: Mapping[str, Record]) -> Iterator[str]:
    yield f"| {' | '.join(_HEAD)} |"
    yield "|" + " --- |" * len(_HEAD)
    for one in sorted(records.values(), key=_place):
        for partner, found in one["partners"].items():
            cells = (
                *(_title(one), str(one["seed"])),
                *(_percent(one["alone"][who]) for who in ("protected", "original")),
                *(_besides(one), partner, f"{one['cells'] / len(one['partners']):.0f}"),
                *(_gain(found["worst"]), found["worst"]["how"], _gain(found["without"])),
                *(f"**{found['advantage']:+.2f}**", f"{_gain(found['control'])}, {found['control']['how']}"),
            )
            yield f"| {' | '.join(cells)} |"


def summary(records: Mapping[str, Record]) -> str:
    """Return the Markdown table with one row for all seeds and partners of a family."""
    return "\n".join(_summary_lines(records)) + "\n"


def _summary_lines(records: Mapping[str, Record]) -> Iterator[str]:
    head = ("release", "seeds", "alone, percent", "the fine-tune alone", "merges tried", "best joint gain", "advantage")
    yield f"| {' | '.join(head)} | best unprotected |"
    yield "|" + " --- |" * (len(head) + 1)
    for _, same in groupby(sorted(records.values(), key=_place), key=lambda one: _place(one)[:2]):
        trainings = list(same)
        found = [one["partners"][partner] for one in trainings for partner in one["partners"]]
        alone = [one["alone"]["protected"]["value"] for one in trainings]
        cells = (
            *(_title(trainings[0]), f"{len(trainings)}"),
            *(_range([100 * value for value in alone], ".1f"), _percent(trainings[0]["alone"]["original"])),
            f"{sum(one['cells'] for one in trainings)}",
            _range([one["worst"]["value"] for one in found], ".2f"),
            f"**{_range([one['advantage'] for one in found], '+.2f')}**",
            _range([one["control"]["value"] for one in found], ".2f"),
        )
        yield f"| {' | '.join(cells)} |"


def _range(values: Sequence[float], form: str) -> str:
    """Return the least and the most of some values, once if they look the same."""
    least, most = (format(value, form) for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def recipes() -> str:
    """Return the Markdown table of how each release is trained."""
    return "\n".join(_recipe_lines()) + "\n"


def _recipe_lines() -> Iterator[str]:
    head = (
        "release",
        "trained against",
        "steps",
        "highest learning rate",
        "lambda",
        "cap, times guessing",
        "a = 1",
        "base's data",
    )
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for model in map(hardened_model, FAMILIES):
        yield from _phases(f"{model.family}/{model.name}", model.against, model.phases)
        for variant, other in model.variants.items():
            yield from _phases(f"the same {variant}", "the same", other.phases)


def _phases(title: str, against: str, phases: Sequence[Settings]) -> Iterator[str]:
    for number, one in enumerate(phases):
        name, partners = (title, against) if number == 0 else ("then", "the same")
        schedule, objective = one.schedule, one.objective
        numbers = (schedule.steps, schedule.learning_rate, objective.strength, one.cap_factor)
        share = f"{100 * objective.rebasing:.0f} % of the merges"
        base = f"{100 * one.base_share:.0f} % of a batch"
        yield f"| {name} | {partners} | {' | '.join(f'{value:g}' for value in numbers)} | {share} | {base} |"


def _place(one: Record) -> tuple[int, str, int]:
    return FAMILIES.index(one["family"]), one.get("variant") or "", one["seed"]


def _title(one: Record) -> str:
    name = f"{one['family']}/{one['release']}"
    return f"the same {one['variant']} ({name})" if one.get("variant") else name


def _besides(one: Record) -> str:
    if "besides" not in one:
        return "not measured"
    return ", ".join(
        f"{name} {_percent(score['protected'])} ({_percent(score['original'])})"
        for name, score in one["besides"].items()
    )


def _percent(score: Mapping[str, float]) -> str:
    return f"{100 * score['value']:.1f} ± {100 * score['standard_error']:.1f}"


def _gain(joint: Mapping[str, float]) -> str:
    return f"{joint['value']:.2f} ± {joint['standard_error']:.2f}"


if __name__ == "__main__":
    main()
