"""MergeGuard's stage 2 on model folders and pipelines of any size, a tensor at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, has_nonfinite, pipeline_files, tensor_bytes
from mergeguard_hub.errors import NonFiniteWeightsError, TrainingError
from mergeguard_hub.training.criticality import Criticality
from mergeguard_hub.training.layers import Granularity, layers_of
from mergeguard_hub.training.negation import Negation
from mergeguard_hub.training.negation_inputs import Pair, open_pairs, paired


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
        exclude: `fnmatch` patterns of tensors to leave as they are, for example a head that the base does not have;
            each must match one. What MergeGuard excludes in a language model is left alone in any case (see
            `language_roles`).
        replace: accept a target with files, and replace the weights in it.

    Returns:
        What was done. The standalone quality of the result is not known here: measure it.

    Raises:
        BaseModelError: the base does not match, or is a protected release; nothing is written.
        TrainingError: the source is a protected release, the ranking names other tensors or comes with a granularity, a
            pattern excludes nothing, or nothing is left to do.
        NonFiniteWeightsError: a weight is NaN or infinite, or would be after the negation.
        CheckpointError: a folder cannot be read or written, or is quantised.
    """
    settings, start = negation or Negation(), Path(source).absolute()
    pairs = open_pairs(start, Path(base).absolute(), exclude=exclude)
    given = {"": criticality} if isinstance(criticality, Criticality) else dict(criticality or {})
    _check_ranking(given, pairs, settings.granularity)
    squares = {name: pair.squares() for name, pair in pairs.items()}
    ranking = {
        name: given[name] if name in given else _ranked(squares[name], settings.granularity)
        for name in pairs
        if name in given or any(squares[name].values())
    }
    if not ranking:
        raise TrainingError(f"{start} equals its base {base} but for what is excluded: there is nothing to negate.")
    kept = {name: ranked.critical(settings.critical) for name, ranked in ranking.items()}
    whole = {name: ranked.tensors(settings.critical) for name, ranked in ranking.items()}
    moved = 0
    with StagedFolder(Path(target), sources=(start, Path(base).absolute()), replace=replace) as staged:
        for name, pair in pairs.items():
            staged.allocate(pair.model, name)
            left = whole.get(name, frozenset(pair.names)) | set(pair.excluded)
            moved += _write(pair, staged, name, settings, left)
            for file in pair.model.side_files:
                staged.copy_file(pair.model.root / file, f"{name}/{file}" if name else file)
        if set(pairs) != {""}:
            for file in pipeline_files(start, pairs):
                staged.copy_file(start / file, file)
    total = sum(entry.numel for pair in pairs.values() for entry in pair.model.entries.values() if entry.is_floating)
    nbytes = sum(pair.model.nbytes for pair in pairs.values())
    excluded = {name: pair.excluded for name, pair in pairs.items()}
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

    This is the ranking that `negate_folder` uses where none is given: the same checks, the same tensors left out.

    Args:
        source: the fine-tuned model folder.
        base: the base model folder.
        negation: whose granularity is used.
        exclude: `fnmatch` patterns of tensors that are left out, beside those of `language_roles`.

    Raises:
        BaseModelError: the base does not match, or is a protected release.
        TrainingError: no tensor has changed, the source is a protected release, or a pattern excludes nothing.
        NonFiniteWeightsError: a weight is NaN or infinite.
        CheckpointError: a folder cannot be read, or is quantised.
    """
    model, reference = (
        folder if isinstance(folder, Checkpoint) else Checkpoint.open(Path(folder)) for folder in (source, base)
    )
    squares = paired({"": model}, {"": reference}, exclude=exclude)[""].squares()
    if not any(squares.values()):
        raise TrainingError(
            f"{model.root} equals its base {reference.root} but for what is excluded: no layer to rank."
        )
    return _ranked(squares, (negation or Negation()).granularity)


def _check_ranking(
    given: Mapping[str, Criticality], pairs: Mapping[str, Pair], granularity: Granularity | None
) -> None:
    for component, ranked in given.items():
        if component not in pairs:
            raise TrainingError(f"a ranking was given for {component!r}, and there are only {', '.join(pairs)!r}.")
        known = pairs[component].model.entries
        strange = [name for names in ranked.layers.values() for name in names if name not in known]
        if strange:
            raise TrainingError(
                f"the ranking names {strange[0]!r}, and the folder has no such tensor: names in memory and on disk "
                "differ for this architecture. Rank without data, or rename the ranking's layers."
            )
    if granularity is not None and given.keys() >= pairs.keys():
        raise TrainingError(
            f"granularity is {granularity!r}, and the ranking that was given has layers of its own: leave granularity "
            "out here, and give it where the layers are ranked."
        )


def _ranked(squares: Mapping[str, float], granularity: Granularity | None) -> Criticality:
    layers = layers_of((name for name, square in squares.items() if square > 0), granularity=granularity or "tensor")
    drops = {layer: math.sqrt(sum(squares[name] for name in names)) for layer, names in layers.items()}
    return Criticality(drops, layers, "data-free", 0.0)


def _write(pair: Pair, staged: StagedFolder, component: str, negation: Negation, left: Collection[str]) -> int:
    """Write all tensors of a component and return how many weights have changed."""
    moved = 0
    for name, entry in pair.model.entries.items():
        if not entry.is_floating or name in left:
            staged.copy_tensor(pair.model, entry, component)
            continue
        before = pair.model.tensor(name)
        after = negation.apply(before, pair.base.tensor(name))
        if has_nonfinite(after):
            raise NonFiniteWeightsError(
                f"{name!r} would hold numbers that {after.dtype} has no room for: beta {negation.beta} is probably too "
                "large; lower it, or save the fine-tuned model in a wider dtype first."
            )
        moved += int((after != before).sum())
        staged.write(entry, tensor_bytes(after), subfolder=component)
    return moved
