"""mergekit as its users run it, in its own environment and a process of its own; lost tensors are an error.

mergekit is under the LGPL and brings libraries of its own, so nothing of it is imported here: it is told what to do as
JSON. One process carries out any number of merges, since starting it takes seconds and a small merge does not.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mergeguard_hub.checkpoint import LEFT_OUT, Checkpoint
from mergeguard_hub.errors import EngineError, MergeGuardError
from mergeguard_hub.merging.engines.mergekit_process import run_mergekit

Engine = Literal["yaml", "raw"]


@dataclass(frozen=True)
class MergekitMethod:
    """A merge method that mergekit has registered.

    Attributes:
        name, title, paper: as mergekit has them.
        base: "required", "optional", "forbidden" or "ignored".
        fewest, most: number of inputs, the base included; `most` is None without a limit.
        required: parameters without a default.
        optional: parameter -> default.
    """

    name: str
    title: str
    paper: str
    base: str
    fewest: int
    most: int | None
    required: tuple[str, ...]
    optional: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MergekitJob:
    """One merge.

    Attributes:
        config: in mergekit's format, with the paths of local folders.
        target: folder to write; must not exist or be empty.
        engine: "yaml" is `mergekit-yaml`, which knows architectures and leaves out what it does not expect; "raw" is
            `mergekit-pytorch`, which merges every tensor of the files.
        seed: of methods that drop at random.
    """

    config: Mapping[str, Any]
    target: Path
    engine: Engine = "yaml"
    seed: int = 0


def merge_with_mergekit(
    config: Mapping[str, Any],
    target: str | Path,
    *,
    engine: Engine = "yaml",
    seed: int = 0,
    python: str | Path | None = None,
) -> None:
    """Merge with mergekit; fields as those of `MergekitJob`.

    Args:
        config: in mergekit's format.
        target: folder to write.
        engine: "yaml" or "raw".
        seed: of methods that drop at random.
        python: interpreter of the environment that has mergekit; by default $MERGEGUARD_MERGEKIT_PYTHON.

    Raises:
        EngineError: there is no mergekit, it failed, or it lost tensors; the target is not written.
    """
    job = MergekitJob(config, Path(target), engine, seed)
    (error,) = merge_many_with_mergekit([job], python=python)
    if error is not None:
        raise error


def merge_many_with_mergekit(
    jobs: Sequence[MergekitJob], *, python: str | Path | None = None
) -> list[EngineError | None]:
    """Carry out merges in one process of mergekit, and return what went wrong with each.

    Args:
        jobs: the merges; one that fails does not stop the others.
        python: as in `merge_with_mergekit`.

    Raises:
        EngineError: there is no mergekit, or a target is taken.
    """
    with tempfile.TemporaryDirectory(prefix=".mergekit-", dir=_parent(jobs)) as made:
        orders = []
        for number, job in enumerate(jobs):
            if job.target.exists() and (not job.target.is_dir() or any(job.target.iterdir())):
                raise EngineError(f"{job.target} exists and is not empty. Remove it, or choose another target.")
            orders.append({**_plain(job), "target": str(Path(made) / str(number))})
        answers = run_mergekit({"jobs": orders}, python)
        return [
            _settled(job, Path(order["target"]), answer)
            for job, order, answer in zip(jobs, orders, answers, strict=True)
        ]


def mergekit_methods(*, python: str | Path | None = None) -> dict[str, MergekitMethod]:
    """Return every method that the installed mergekit has registered, by name.

    Args:
        python: as in `merge_with_mergekit`.

    Raises:
        EngineError: there is no mergekit.
    """
    found = [
        MergekitMethod(**{**row, "required": tuple(row["required"])}) for row in run_mergekit({"list": True}, python)
    ]
    return {method.name: method for method in found}


def mergekit_config(
    method: str,
    *,
    base: str | Path | None,
    models: Sequence[str | Path],
    weights: Sequence[float] | None = None,
    **parameters: Any,
) -> dict[str, Any]:
    """Return a merge of whole models in mergekit's format.

    Args:
        method: mergekit's name of it.
        base: folder of the base model, None for methods without one.
        models: folders of the models, in order.
        weights: `weight` of each model.
        **parameters: for all models: density, t, lambda (as `**{"lambda": 0.5}`) and so on.

    >>> mergekit_config("ties", base="b", models=["m"], weights=[0.5], density=0.2)["models"]
    [{'model': 'm', 'parameters': {'weight': 0.5}}]
    """
    rows: list[dict[str, Any]] = [{"model": str(model)} for model in models]
    for row, weight in zip(rows, weights or (), strict=bool(weights)):
        row["parameters"] = {"weight": weight}
    config: dict[str, Any] = {"merge_method": method, "models": rows, "parameters": parameters}
    return {**config, "base_model": str(base)} if base is not None else config


def _parent(jobs: Sequence[MergekitJob]) -> Path:
    parents = {job.target.absolute().parent for job in jobs}
    if len(parents) != 1:
        raise EngineError(f"{len(parents)} folders hold the targets of {len(jobs)} merges; give targets side by side.")
    parent = parents.pop()
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def _plain(job: MergekitJob) -> dict[str, Any]:
    """Return an order as JSON has it, with absolute paths: mergekit would look for others on the Hub."""
    config = json.loads(json.dumps(dict(job.config), default=str))
    for row in config.get("models") or ():
        row["model"] = _absolute(row["model"])
    for part in config.get("slices") or ():
        for row in part["sources"]:
            row["model"] = _absolute(row["model"])
    if config.get("base_model"):
        config["base_model"] = _absolute(config["base_model"])
    return {"config": config, "engine": job.engine, "seed": job.seed}


def _absolute(path: str) -> str:
    folder = Path(path).expanduser()
    return str(folder.absolute()) if folder.exists() else path


def _settled(job: MergekitJob, made: Path, answer: str | None) -> EngineError | None:
    """Bring a finished merge to its target, or return what is wrong with it."""
    method = job.config.get("merge_method")
    if answer is not None:
        return EngineError(
            f"mergekit ({job.engine}) cannot merge by {method!r}: {answer}. Check the config, or try the other engine."
        )
    try:
        lost = _lost(job, made)
    except MergeGuardError as error:
        return EngineError(f"mergekit ({job.engine}) wrote no usable model by {method!r}: {error}")
    if lost:
        return EngineError(
            f"mergekit ({job.engine}) lost {len(lost)} tensors without a word, {lost[0]!r} the first: it knows this "
            'architecture by other names. Use engine="raw", which merges every tensor.'
        )
    if job.engine == "raw":
        _copy_side_files(_inputs(job)[0], made)
    if job.target.exists():
        job.target.rmdir()
    made.rename(job.target)
    return None


def _inputs(job: MergekitJob) -> list[Path]:
    """Return the folders of whole models that go into a merge, the one that gives the config first."""
    paths = [job.config.get("base_model"), *(row["model"] for row in job.config.get("models") or ())]
    return [Path(path).expanduser() for path in paths if path]


def _lost(job: MergekitJob, made: Path) -> list[str]:
    """Return the tensors that all inputs have and the merge has not; of layer slices nothing can be said."""
    folders = _inputs(job)
    written = Checkpoint.open(made).entries
    if job.config.get("slices") or job.config.get("modules") or not all(folder.is_dir() for folder in folders):
        return []
    shared = set.intersection(*(set(Checkpoint.open(folder, exclude=LEFT_OUT).entries) for folder in folders))
    return sorted(shared - set(written))


def _copy_side_files(source: Path, made: Path) -> None:
    checkpoint = Checkpoint.open(source, exclude=LEFT_OUT)
    for file in checkpoint.side_files:
        path = made / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(checkpoint.root / file, path)
