"""TensorGuard: a fingerprint from how the matrices of a model answer to perturbed inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.random import RandomState
from torch import Tensor

from mergeguard_hub.checkpoint import Checkpoint, open_folder
from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.gradient_response import STATISTICS, response
from mergeguard_hub.fingerprint.perturbation import KINDS, Rows, perturbed
from mergeguard_hub.fingerprint.tensor_choice import choose, kind_of, within_depth

_GROUPS = ("attention", "ffn", "embedding")
FEATURES = (
    *(f"global_{name}" for name in STATISTICS),
    *(f"{group}_{name}" for group in _GROUPS for name in STATISTICS[:3]),
)
_BLOCK_ELEMENTS = 4 << 20  # of a matrix in float32 at a time, our choice


@dataclass(frozen=True)
class GradientFingerprint:
    """What TensorGuard keeps of a model.

    Attributes:
        values: the fourteen numbers, in the order of `FEATURES`.
        tensors: the matrices that they were taken of.
    """

    values: tuple[float, ...]
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class TensorGuard:
    """Describe a model by fourteen statistics of gradients; TensorGuard, arXiv 2506.01631, and its authors' code.

    Ten or so matrices W are shown perturbed inputs x; of the gradient of ||x W^T|| with respect to W, mean, deviation,
    norm, skewness and kurtosis are averaged over inputs and matrices.

    It sees shapes rather than weights: the gradient is (y / ||y||) x^T with y = x W^T, whose norm is that of x and
    whose deviation follows from the numbers of rows and columns. Random weights of the same shapes have the same norms
    and deviations to a fraction of a percent. Mean, skewness and kurtosis see how y is spread, a remainder that falls
    with the width; it does *not* survive a protection, so releases are not told from strangers of the same shapes. See
    docs/fingerprint.md for figures, and use the invariant fingerprint to learn whose weights they are.

    Two details differ from the authors' code, which reads one file: all files of a folder are read, and skewness and
    kurtosis are those of all entries, where it draws half a million of a gradient with more than a million.

    Attributes:
        samples: perturbed inputs per matrix (the authors').
        seed: of the inputs and of the choices (the authors').

    Example:
        >>> import torch
        >>> model = {"a.attn.weight": torch.eye(8), "a.mlp.weight": torch.ones(4, 8)}
        >>> found = TensorGuard().fingerprint_tensors(model)
        >>> dict(zip(FEATURES, found.values))["global_norm"] > 1
        True
    """

    samples: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise FingerprintError(f"TensorGuard got samples={self.samples}; it needs one perturbed input at least.")

    def fingerprint(self, folder: str | Path) -> GradientFingerprint:
        """Return the fingerprint of a model folder or a pipeline, read in blocks of rows.

        Raises:
            CheckpointError: the folder cannot be read.
            FingerprintError: it holds no matrix, or a weight that is NaN or infinite.
        """
        parts = open_folder(Path(folder))
        try:
            return self.fingerprint_tensors(_Matrices(parts))
        except FingerprintError as error:
            raise FingerprintError(f"{folder}: {error}") from None

    def fingerprint_tensors(self, tensors: Mapping[str, Tensor]) -> GradientFingerprint:
        """Return the fingerprint of tensors; only floating-point matrices are looked at.

        Raises:
            FingerprintError: there is no matrix, or a weight is NaN or infinite.
        """
        names = [name for name in sorted(tensors) if within_depth(name) and _is_matrix(tensors[name])]
        if not names:
            raise FingerprintError(
                "There is no floating-point matrix, which is all that TensorGuard looks at. Is this a model's folder?"
            )
        random = RandomState(self.seed)
        chosen = choose(names, random=random)
        firsts = {tensors[name].shape[1]: name for name in reversed(names)}
        rows: dict[str, Rows] = {name: partial(_blocks, tensors[name]) for name in {*chosen, *firsts.values()}}
        found = {}
        for name in chosen:
            drawn = Counter(str(random.choice(KINDS)) for _ in range(self.samples))
            width = tensors[name].shape[1]
            found[name] = self._statistics(width, drawn, rows[name], rows[firsts[width]])
            if not np.isfinite(found[name]).all():
                raise FingerprintError(f"{name} answers with NaN or infinity, so a weight is one. Repair it first.")
        return GradientFingerprint(_features(found), tuple(chosen))

    def _statistics(self, width: int, drawn: Counter[str], rows: Rows, first: Rows) -> list[float]:
        """Return the statistics of one matrix, their means over the perturbed inputs."""
        inputs = torch.stack([perturbed(kind, width, first, seed=self.seed) for kind in drawn])
        answers = torch.cat([block @ inputs.T for block in rows()])  # [out, kinds]
        each = [response(x, y) for x, y in zip(inputs, answers.T, strict=True)]
        return [float(value) for value in np.average(each, axis=0, weights=list(drawn.values()))]


def _features(found: Mapping[str, Sequence[float]]) -> tuple[float, ...]:
    """Return means over all matrices, and over those of each group: 0 for a group without any, as the authors."""
    values = list(np.mean(list(found.values()), axis=0))
    for group in _GROUPS:
        members = [row[:3] for name, row in found.items() if kind_of(name) == group]
        values += list(np.mean(members, axis=0)) if members else [0.0, 0.0, 0.0]
    return tuple(float(value) for value in values)


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and tensor.numel() > 0 and tensor.is_floating_point()


def _blocks(matrix: Tensor) -> Iterator[Tensor]:
    rows = max(1, _BLOCK_ELEMENTS // matrix.shape[1])
    for start in range(0, len(matrix), rows):
        yield matrix[start : start + rows].float()


class _Matrices(Mapping[str, Tensor]):
    """The matrices of all components of a folder, each a view of its file that is made when it is asked for."""

    def __init__(self, parts: Mapping[str, Checkpoint]) -> None:
        self._places = {
            ".".join(filter(None, (part, name))): (checkpoint, name)
            for part, checkpoint in parts.items()
            for name, entry in checkpoint.entries.items()
            if len(entry.shape) == 2
        }

    def __getitem__(self, name: str) -> Tensor:
        checkpoint, inner = self._places[name]
        return checkpoint.tensor(inner)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
