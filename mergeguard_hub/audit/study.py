"""Merging in the wild: what subsets of public fine-tunes are worth when merged, and what releases do to that."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mergeguard_hub.audit.arena import distinct_names
from mergeguard_hub.audit.claim import claim, content_of
from mergeguard_hub.audit.model_folder import ModelFolder, weights_digest
from mergeguard_hub.audit.run import Order, Progress, carry_out
from mergeguard_hub.audit.scoring import Scores, write_whole
from mergeguard_hub.audit.study_rows import compared_rows, released_name
from mergeguard_hub.audit.task_source import find_task
from mergeguard_hub.audit.tasks import Task
from mergeguard_hub.audit.workers import workers_pool
from mergeguard_hub.errors import AuditError
from mergeguard_hub.merging import (
    BoostedTaskArithmetic,
    BoostedTies,
    IsoC,
    MergeMethod,
    ModelStock,
    TaskArithmetic,
    Ties,
    TsvMerge,
)

SUBSETS = 15  # of each size, as in the study
SIZES = (1, 2, 4, 6, 8, 10, 12)  # the study's
STUDY_METHODS: Mapping[str, MergeMethod] = {
    "task_arithmetic": TaskArithmetic(scale=1.0, normalize=True),
    "model_stock": ModelStock(),
    "ties": Ties(density=0.1, scale=1.0),
    "tsv_merge": TsvMerge(),
    "iso_c": IsoC(),
    "boosted_task_arithmetic": BoostedTaskArithmetic(),
    "boosted_ties": BoostedTies(),
}
"""The study's six methods, Subspace Boosting in both its forms. It says that task vectors are added with coefficient 1;
its figures fit an average, which is our default."""

ALONE = "alone"  # the method of a subset of one


@dataclass(frozen=True, eq=False)
class Field:
    """What a study is about: paths and settings, sent to worker processes.

    Attributes:
        base: folder of the base model.
        models: folders of the fine-tuned models by name; for a model with a release, "NAME (release)" too.
        tasks: on which every merge is scored.
        methods: merge methods by name.
        limit: items of each task; None: all.
        work: where scores are kept.
    """

    base: Path
    models: Mapping[str, Path]
    tasks: tuple[str | Task[Any], ...]
    methods: Mapping[str, MergeMethod]
    limit: int | None
    work: Path

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "found"}

    @cached_property
    def found(self) -> dict[str, Task[Any]]:
        """The tasks by name."""
        tasks = [find_task(source, model=self.base) for source in self.tasks]
        return {f"{position} {task.name}": task for position, task in enumerate(tasks)}

    def accuracy(self, weights: Mapping[str, Any]) -> float:
        """Return the mean score over all tasks, a fraction."""
        scores = Scores(self.work / "scores", ModelFolder(self.base).loaded_with)
        return statistics.fmean(score.value for score in scores.of(weights, self.found, limit=self.limit).values())


def study(
    base: str | Path,
    *,
    models: Sequence[str | Path],
    tasks: Sequence[str | Task[Any]],
    work: str | Path,
    releases: Mapping[str, str | Path] | None = None,
    sizes: Sequence[int] = SIZES,
    subsets: int = SUBSETS,
    methods: Mapping[str, MergeMethod] = STUDY_METHODS,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Merge uniformly sampled subsets of fine-tuned models; compare each merge with the base and with its best part.

    The protocol of "A Systematic Study of In-the-Wild Model Merging for Large Language Models" (arXiv 2511.21437):
    every method merges the same subsets. Where a model has a protected release, every subset that it is in is merged
    a second time with the release in its place.

    Args:
        base: folder of the base model.
        models: folders of models fine-tuned from it.
        tasks: accuracy is the mean over them; see `find_task`.
        work: folder for scores; a study that was stopped goes on from there.
        releases: name of a model (its folder's) -> folder of its release.
        sizes: numbers of models that are merged; those beyond how many there are, are left out.
        subsets: of each size, fewer where there are not so many.
        methods: merge methods by name.
        limit: items of each task; None: all.
        seed: of the subsets.
        workers: processes, one per processor by default.
        executor: what works instead.
        progress: told after each merge how many are done, how many there are, and which this was.

    Returns:
        {"base": accuracy, "models": {name: accuracy}, "rows": [{"size", "method", "released": bool, "merges", and for
        both comparisons "over_base" and "over_best": {"probability", "standard_error", "mean_gain"}}], "seed", "limit",
        "tasks"}; fractions, not percent. Rows with "released" false are on all subsets; those with releases have a
        "control" besides, both comparisons of the same subsets without releases.

    Raises:
        AuditError: there is no model or task, a release of a model that is not there, or `work` has other tasks.
    """
    folders = [Path(model).absolute() for model in models]
    if not folders or not tasks or subsets < 1:
        raise AuditError(f"{len(folders)} models, {len(tasks)} tasks, {subsets} subsets: give at least one of each.")
    named = dict(zip(distinct_names(tuple(folders)), folders, strict=True))
    released = {name: Path(path).absolute() for name, path in (releases or {}).items()}
    unknown = sorted(released.keys() - named.keys())
    if unknown:
        raise AuditError(f"There are releases of {', '.join(unknown)}, and the models are {', '.join(named)}.")
    everyone = named | {released_name(name): path for name, path in released.items()}
    ground = Field(Path(base).absolute(), everyone, tuple(tasks), dict(methods), limit, Path(work).absolute())
    facts = {"list of tasks": " ".join(ground.found), "content of tasks": content_of(ground.found.values())}
    claim(ground.work, facts, what="study", strict=False)
    chosen = draw_subsets(list(named), sizes, subsets, seed)
    chosen += [
        tuple(released_name(name) if name in released else name for name in subset)
        for subset in chosen
        if any(name in released for name in subset)
    ]
    merges = [(ground, way, subset) for subset in chosen for way in (methods if len(subset) > 1 else (ALONE,))]
    done = itertools.count(1)

    def tell(order: Order) -> None:
        if progress is not None:
            progress(next(done), len(merges), f"{order[1]} {' '.join(order[2])}")

    with workers_pool(workers, executor, sent=ground.tasks) as pool:
        single = carry_out(pool, _alone, [(ground, name) for name in ("", *named)])
        found = carry_out(pool, _merged, merges, tell=tell)
    accuracy = {name: row["accuracy"] for name, row in zip(("", *named), single, strict=True) if row}
    rows = [{**row, "method": order[1], "subset": order[2]} for order, row in zip(merges, found, strict=True) if row]
    return {
        "base": round(accuracy[""], 4),
        "models": {name: round(accuracy[name], 4) for name in named},
        "rows": compared_rows(rows, accuracy),
        "seed": seed,
        "limit": limit,
        "tasks": [task.name for task in ground.found.values()],
    }


def draw_subsets(names: Sequence[str], sizes: Sequence[int], count: int, seed: int) -> list[tuple[str, ...]]:
    """Return subsets of each size, drawn uniformly without repetition; all of them where there are no more.

    >>> draw_subsets(["a", "b", "c"], [2, 3, 4], 15, seed=0)
    [('a', 'b'), ('a', 'c'), ('b', 'c'), ('a', 'b', 'c')]
    """
    generator = random.Random(seed)
    found: list[tuple[str, ...]] = []
    for size in sizes:
        total = math.comb(len(names), size)
        if total <= count:
            found += itertools.combinations(names, size)
            continue
        drawn: dict[tuple[str, ...], None] = {}
        while len(drawn) < count:
            drawn[tuple(sorted(generator.sample(list(names), size), key=names.index))] = None
        found += drawn
    return found


def _alone(ground: Field, name: str) -> dict[str, Any]:
    return {"accuracy": ground.accuracy(ModelFolder(ground.models[name] if name else ground.base).tensors())}


def _merged(ground: Field, method: str, subset: tuple[str, ...]) -> dict[str, Any]:
    base = ModelFolder(ground.base).tensors()
    models = [ModelFolder(ground.models[name]).tensors() for name in subset]
    own = None if method == ALONE else ground.methods[method]
    what = " ".join([repr(own), str(ground.limit), *map(weights_digest, (base, *models))])
    file = ground.work / "merges" / f"{method}-{hashlib.sha256(what.encode()).hexdigest()[:24]}.json"
    if not file.exists():
        merged = models[0] if own is None else own.merge(base, models)
        write_whole(file, json.dumps({"accuracy": ground.accuracy(merged)}))
    row: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return row
