"""MergeGuard's stage 2 on model folders and pipelines of any size, a tensor at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mergeguard_hub.checkpoint import (
    Checkpoint,
    StagedFolder,
    naming_advice,
    open_folder,
    pipeline_files,
    tensor_bytes,
)
from mergeguard_hub.errors import BaseModelError, TrainingError
from mergeguard_hub.training.base_weights import check_pair
from mergeguard_hub.training.criticality import Criticality
from mergeguard_hub.training.layers import language_roles, layers_of
from mergeguard_hub.training.negation import Negation

SIDECAR = "mergeguard.json"  # the record of a protected release


@dataclass(frozen=True)
class NegatedFolder:
    """What `negate_folder` wrote.

    Attributes:
        target: the folder.
        ranking: by component ("" for a model folder), the ranking that was used; its `method` says how it was found.
        kept: layers that stay whole because they are critical, by component.
        excluded: tensors that were left alone because of their role or by request, by component.
        negated: fraction of all floating-point weights of the folder that were negated.
        nbytes: size of all weights.
    """

    target: Path
    ranking: Mapping[str, Criticality]
    kept: Mapping[str, tuple[str, ...]]
    excluded: Mapping[str, tuple[str, ...]]
    negated: float
    nbytes: int


def negate_folder(
    source: str | Path,
    base: str | Path,
    target: str | Path,
    *,
    negation: Negation | None = None,
    criticality: Criticality | Mapping[str, Criticality] | None = None,
    exclude: Collection[str] = (),
    replace: bool = False,
) -> NegatedFolder:
    """Write a fine-tuned model with the largest part of its task vector negated: MergeGuard's stage 2 at save time.

    Everything but weights is copied. Memory is a few times that of the largest tensor, whatever the size of the model;
    the target appears whole or not at all. It cannot be undone, see `Negation`: keep the source. Other protections,
    such as `protect_folder`, go on top of its result, not under it.

    Args:
        source: folder of the fine-tuned model, or of a diffusers pipeline.
        base: folder of the base model, in the same layout.
        target: folder to write; must not exist or be empty unless `replace`.
        negation: the settings; None: the paper's.
        criticality: a ranking in the names of the folder's tensors, measured in memory (`rank_exactly`, `refine`,
            `rank_by_gradient`), by component for a pipeline. None: `rank_without_data` for each component.
        exclude: `fnmatch` patterns of tensors to leave as they are, for example a head that the base does not have.
            What MergeGuard excludes in a language model is left alone in any case (see `language_roles`).
        replace: accept a target with files, and replace the weights in it.

    Returns:
        What was done. The standalone quality of the result is not known here: measure it.

    Raises:
        BaseModelError: the base does not match; nothing is written.
        TrainingError: the source is a protected release, the ranking names other tensors, or nothing is left to do.
        CheckpointError: a folder cannot be read or written.
    """
    settings, start = negation or Negation(), Path(source).absolute()
    models, bases = _opened(start, Path(base).absolute())
    given = {"": criticality} if isinstance(criticality, Criticality) else dict(criticality or {})
    excluded = {name: _excluded(model, exclude) for name, model in models.items()}
    _check(models, bases, excluded)
    ranking = {
        name: given.get(name) or _ranked(model, bases[name], settings, excluded[name])
        for name, model in models.items()
        if name in given or _changed(model, bases[name], excluded[name])
    }
    _check_ranking(given, models)
    if not ranking:
        raise TrainingError(f"{start} equals its base {base} but for what is excluded: there is nothing to negate.")
    kept = {name: ranked.critical(settings.critical) for name, ranked in ranking.items()}
    whole = {name: ranked.tensors(settings.critical) for name, ranked in ranking.items()}
    moved = 0
    with StagedFolder(Path(target), sources=(start, Path(base).absolute()), replace=replace) as staged:
        for name, model in models.items():
            staged.allocate(model, name)
            left = whole.get(name, frozenset(model.entries)) | set(excluded[name])
            moved += _write(model, bases[name], staged, name, settings, left)
            for file in model.side_files:
                staged.copy_file(model.root / file, f"{name}/{file}" if name else file)
        if set(models) != {""}:
            for file in pipeline_files(start, models):
                staged.copy_file(start / file, file)
    total = sum(entry.numel for model in models.values() for entry in model.entries.values() if entry.is_floating)
    nbytes = sum(model.nbytes for model in models.values())
    return NegatedFolder(Path(target), ranking, kept, excluded, moved / total, nbytes)


def rank_without_data(
    source: str | Path | Checkpoint,
    base: str | Path | Checkpoint,
    *,
    negation: Negation | None = None,
    exclude: Collection[str] = (),
) -> Criticality:
    """Rank a model folder's layers by the norm of their task vectors, ||tau||: no task sample, no forward pass.

    Ours, for want of samples, and no stand-in for the paper's ranking: benchmarks/criticality.py prints how many of the
    exact ranking's critical layers it finds. The norm relative to the base's finds fewer: it puts small biases first.

    Args:
        source: the fine-tuned model folder.
        base: the base model folder.
        negation: whose granularity is used.
        exclude: names of tensors that are left out.

    Raises:
        BaseModelError: the base does not match.
        TrainingError: no tensor has changed.
    """
    model, reference = (
        folder if isinstance(folder, Checkpoint) else Checkpoint.open(Path(folder)) for folder in (source, base)
    )
    return _ranked(model, reference, negation or Negation(), tuple(exclude))


def _opened(source: Path, base: Path) -> tuple[dict[str, Checkpoint], dict[str, Checkpoint]]:
    if (source / SIDECAR).is_file():
        raise TrainingError(
            f"{source} is a protected release: its weights are in other coordinates than the base's, so there is no "
            "task vector to negate. Negate the fine-tuned model first and protect the result."
        )
    models, bases = open_folder(source), open_folder(base)
    missing = [name for name in models if name not in bases]
    if missing:
        raise BaseModelError(
            f"{source} has {missing[0] or 'a single model'!r} and {base} has {', '.join(bases) or 'a single model'!r}; "
            "give the base in the same layout."
        )
    return models, {name: bases[name] for name in models}


def _excluded(model: Checkpoint, patterns: Iterable[str]) -> tuple[str, ...]:
    asked = {name for pattern in patterns for name in model.entries if fnmatchcase(name, pattern)}
    roles = language_roles({name: entry.shape for name, entry in model.entries.items()}, model.config)
    return tuple(sorted(asked | set(roles)))


def _floating(model: Checkpoint, excluded: Collection[str]) -> list[str]:
    return [name for name, entry in model.entries.items() if entry.is_floating and name not in excluded]


def _check(
    models: Mapping[str, Checkpoint], bases: Mapping[str, Checkpoint], excluded: Mapping[str, Collection[str]]
) -> None:
    for component, model in models.items():
        for name in _floating(model, excluded[component]):
            if name not in bases[component].entries:
                raise BaseModelError(
                    f"the base at {bases[component].root} has no tensor {name!r}: it is another architecture, or the "
                    "fine-tuned model has a new head. Give its own base; exclude a tensor that is really new."
                    f"{naming_advice(bases[component].entries, model.entries)}"
                )
            check_pair(name, model.tensor(name), bases[component].tensor(name))


def _check_ranking(given: Mapping[str, Criticality], models: Mapping[str, Checkpoint]) -> None:
    for component, ranked in given.items():
        if component not in models:
            raise TrainingError(f"a ranking was given for {component!r}, and there are only {', '.join(models)!r}.")
        known = models[component].entries
        strange = [name for names in ranked.layers.values() for name in names if name not in known]
        if strange:
            raise TrainingError(
                f"the ranking names {strange[0]!r}, and the folder has no such tensor: names in memory and on disk "
                "differ for this architecture. Rank without data, or rename the ranking's layers."
            )


def _squares(model: Checkpoint, base: Checkpoint, name: str) -> float:
    return float(
        (model.tensor(name).float() - base.tensor(name).to(model.tensor(name)).float()).square().sum().double()
    )


def _changed(model: Checkpoint, base: Checkpoint, excluded: Collection[str]) -> bool:
    return any(_squares(model, base, name) > 0 for name in _floating(model, excluded))


def _ranked(model: Checkpoint, base: Checkpoint, negation: Negation, excluded: Collection[str]) -> Criticality:
    squares = {name: _squares(model, base, name) for name in _floating(model, excluded)}
    changed = [name for name, square in squares.items() if square > 0]
    layers = layers_of(changed, granularity=negation.granularity)
    drops = {layer: math.sqrt(sum(squares[name] for name in names)) for layer, names in layers.items()}
    return Criticality(drops, layers, "data-free", 0.0)


def _write(
    model: Checkpoint, base: Checkpoint, staged: StagedFolder, component: str, negation: Negation, left: Collection[str]
) -> int:
    """Write all tensors of a component and return how many weights have changed."""
    moved = 0
    for name, entry in model.entries.items():
        if not entry.is_floating or name in left:
            staged.copy_tensor(model, entry, component)
            continue
        before = model.tensor(name)
        after = negation.apply(before, base.tensor(name))
        moved += int((after != before).sum())
        staged.write(entry, tensor_bytes(after), subfolder=component)
    return moved
