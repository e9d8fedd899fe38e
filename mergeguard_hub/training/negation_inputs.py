"""The folders that go into a negation: opened, checked against each other, and their task vectors measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from mergeguard_hub.checkpoint import SIDECAR, Checkpoint, TensorEntry, has_nonfinite, naming_advice, open_folder
from mergeguard_hub.errors import BaseModelError, NonFiniteWeightsError, TrainingError, UnsupportedFormatError
from mergeguard_hub.training.base_weights import check_pair
from mergeguard_hub.training.layers import language_roles

_PIECE = 1 << 20  # elements that are widened to float64 at a time: 8 MB


@dataclass(frozen=True)
class Pair:
    """A fine-tuned model and its base, opened.

    Attributes:
        model: the fine-tuned model.
        base: its base model.
        excluded: tensors of the model that are left alone because of their role or by request, sorted.
    """

    model: Checkpoint
    base: Checkpoint
    excluded: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The tensors that have a task vector, in the model's order."""
        return [name for name, entry in self.model.entries.items() if entry.is_floating and name not in self.excluded]

    def squares(self) -> dict[str, float]:
        """Return ||tau||^2 of every tensor, with the base rounded to the model's dtype. Reads all weights once.

        Raises:
            NonFiniteWeightsError: a weight is NaN or infinite, or the base's has no room in the model's dtype.
        """
        found = {}
        for name in self.names:
            tensor, base = self.model.tensor(name), self.base.tensor(name)
            for folder, weights in ((self.model.root, tensor), (self.base.root, base)):
                if has_nonfinite(weights):
                    raise NonFiniteWeightsError(
                        f"{name!r} of {folder} holds NaN or infinite weights: its training probably diverged or the "
                        "file is damaged; use another checkpoint, or exclude the tensor."
                    )
            rounded = base.to(tensor.dtype)
            if has_nonfinite(rounded):
                raise NonFiniteWeightsError(
                    f"{name!r} of {self.base.root} holds {base.dtype} numbers that the fine-tuned model's "
                    f"{tensor.dtype} has no room for: save that model as {base.dtype} first, or exclude the tensor."
                )
            found[name] = _distance_squared(tensor, rounded)
        return found


def open_pairs(source: Path, base: Path, *, exclude: Collection[str]) -> dict[str, Pair]:
    """Open a fine-tuned model, or a pipeline, with its base. Reads no weights.

    Args:
        source: folder of the fine-tuned model, or of a diffusers pipeline.
        base: folder of the base model, in the same layout.
        exclude: `fnmatch` patterns of tensors to leave alone.

    Returns:
        The pair by component, "" for a model folder.

    Raises:
        BaseModelError: the base does not match, or is a protected release.
        TrainingError: the source is a protected release, or a pattern matches nothing.
        UnsupportedFormatError: a tensor is quantised.
        CheckpointError: a folder cannot be read.
    """
    _refuse_releases(source, base)
    models, bases = open_folder(source), open_folder(base)
    missing = [name for name in models if name not in bases]
    if missing:
        raise BaseModelError(
            f"{source} has {missing[0] or 'a single model'!r} and {base} has {', '.join(bases) or 'a single model'!r}; "
            "give the base in the same layout."
        )
    return paired(models, bases, exclude=exclude)


def paired(
    models: Mapping[str, Checkpoint], bases: Mapping[str, Checkpoint], *, exclude: Collection[str]
) -> dict[str, Pair]:
    """Put opened models and their bases together; arguments and errors as those of `open_pairs`."""
    for name, model in models.items():
        _refuse_releases(model.root, bases[name].root)
    known = [name for model in models.values() for name in model.entries]
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise TrainingError(
                f"the pattern {pattern!r} excludes nothing: no tensor has such a name; the first is {known[0]!r}. "
                "Correct it, since a negation cannot be undone."
            )
    pairs = {name: Pair(model, bases[name], _excluded(model, exclude)) for name, model in models.items()}
    for pair in pairs.values():
        _check(pair)
    return pairs


def _refuse_releases(source: Path, base: Path) -> None:
    if (source / SIDECAR).is_file():
        raise TrainingError(
            f"{source} is a protected release: its weights are in other coordinates than the base's, so there is no "
            "task vector to negate. Negate the fine-tuned model first and protect the result."
        )
    if (base / SIDECAR).is_file():
        raise BaseModelError(
            f"the base at {base} is a protected release: its weights are in other coordinates than the fine-tuned "
            "model's, so there is no task vector to negate. Give the base as it was before it was protected."
        )


def _excluded(model: Checkpoint, patterns: Collection[str]) -> tuple[str, ...]:
    asked = {name for pattern in patterns for name in model.entries if fnmatchcase(name, pattern)}
    roles = language_roles({name: entry.shape for name, entry in model.entries.items()}, model.config)
    return tuple(sorted(asked | set(roles)))


def _check(pair: Pair) -> None:
    for name, entry in pair.model.entries.items():
        if name not in pair.excluded:
            _refuse_quantised(entry, pair.model.root)
    for name in pair.names:
        if name not in pair.base.entries:
            raise BaseModelError(
                f"the base at {pair.base.root} has no tensor {name!r}: it is another architecture, or the "
                "fine-tuned model has a new head. Give its own base; exclude a tensor that is really new."
                f"{naming_advice(pair.base.entries, pair.model.entries)}"
            )
        check_pair(name, pair.model.tensor(name), pair.base.tensor(name))
        _refuse_quantised(pair.base.entries[name], pair.base.root)


def _refuse_quantised(entry: TensorEntry, folder: Path) -> None:
    """Refuse numbers that are neither whole nor of 16 bits and more; whole ones are positions and masks, and copied."""
    if not entry.is_floating and (entry.torch_dtype.is_floating_point or entry.torch_dtype.is_complex):
        raise UnsupportedFormatError(
            f"{folder}: tensor {entry.name!r} has dtype {entry.dtype}, and only F64, F32, F16 and BF16 can be negated. "
            "Start from the unquantised checkpoint and quantise the result, or exclude the tensor."
        )


def _distance_squared(one: Tensor, other: Tensor) -> float:
    pieces = zip(*(torch.split(tensor.reshape(-1), _PIECE) for tensor in (one, other)), strict=True)
    return math.fsum(float((left.double() - right.double()).square().sum()) for left, right in pieces)
