"""AdaMerging: coefficients of the task vectors learned by making the merge sure of its answers on unlabelled data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.layout import ARITHMETIC, check_same_layout
from mergeguard_hub.merging.method import Tensors
from mergeguard_hub.merging.settings import check_density
from mergeguard_hub.merging.task_vector import task_vectors
from mergeguard_hub.merging.tensors import merged_tensor, upcast
from mergeguard_hub.merging.ties import thresholds, trimmed

Batch = TypeVar("Batch")
Logits = Callable[[dict[str, Tensor], Batch], Tensor]
"""(weights, batch) -> logits [*, num_classes], differentiable in the weights; say, through `functional_call`."""


@dataclass(frozen=True)
class AdaMerging:
    """Learn how much of each task vector goes into the merge: theta = theta_base + sum_k c_k * (theta_k - theta_base).

    Yang et al. 2024, "AdaMerging", arXiv 2310.02575, as in the authors' code: the coefficients minimise the mean
    entropy of the softmax outputs on unlabelled test inputs of every task, summed over the tasks, by Adam; they are
    held within [0, 1]. It needs inputs and a model that can be run, so it is no entry of the table of methods. It keeps
    all task vectors in memory in float32, and labels are never looked at.

    Attributes:
        layer_wise: a coefficient for each task and tensor; else one for each task.
        density: trim the task vectors first as TIES does, over the whole model (the ++ variants, with 0.2); None: not.
        start: value of every coefficient before learning; 0.3 is the authors'.
        steps: of Adam; 500 is the authors'.
        learning_rate: of Adam; 0.001 is the authors'.
    """

    title: ClassVar[str] = "AdaMerging"
    paper: ClassVar[str] = "https://arxiv.org/abs/2310.02575"

    layer_wise: bool = True
    density: float | None = None
    start: float = 0.3
    steps: int = 500
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.density is not None:
            check_density(self.density)
        if not 0 <= self.start <= 1:
            raise MergeError(f"start is {self.start}, and must be at least 0 and at most 1.")
        if self.steps < 0:
            raise MergeError(f"steps are {self.steps}, and must be at least 0.")
        if not 0 < self.learning_rate < math.inf:
            raise MergeError(f"learning_rate is {self.learning_rate}, and must be finite and above 0.")

    def learn(
        self, base: Tensors, models: Sequence[Tensors], logits: Logits[Batch], tasks: Sequence[Iterable[Batch]]
    ) -> AdaMerge:
        """Learn the coefficients and merge with them.

        Args:
            base: tensors of the base model by name.
            models: tensors of each fine-tuned model, with the same names and shapes.
            logits: runs a model of these weights on a batch.
            tasks: of each task, batches of inputs, which are gone through again and again; one of each task a step.

        Raises:
            MergeError: the models do not fit together, or a task has no batches.
            NonFiniteWeightsError: a weight is NaN or infinite, before or after.
        """
        check_same_layout(base, models)
        streams = [_endless(batches, position) for position, batches in enumerate(tasks)]
        vectors = self._vectors(base, models)
        count = len(vectors) if self.layer_wise else 1
        coefficients = torch.full((count, len(models)), self.start, requires_grad=True)
        optimizer = torch.optim.Adam([coefficients], lr=self.learning_rate, betas=(0.9, 0.999))
        entropies = []
        for _ in range(self.steps):
            weights = _combined(base, vectors, coefficients)
            loss = torch.stack([entropy(logits(weights, next(stream))) for stream in streams]).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                coefficients.clamp_(0, 1)
            entropies.append(float(loss.detach()))
        learned = coefficients.detach()
        return AdaMerge(_rounded(base, models, vectors, learned), _named(vectors, learned), tuple(entropies))

    def _vectors(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Return tensor name -> task vectors [num_models, *S], trimmed if that is asked for."""
        limits = thresholds(base, models, density=self.density, per_tensor=False) if self.density is not None else None
        found = {}
        for name, tensor in base.items():
            if tensor.dtype in ARITHMETIC and tensor.numel():
                first, *others = upcast([tensor, *(model[name] for model in models)])
                found[name] = torch.stack(
                    task_vectors(first, others) if limits is None else trimmed(limits, name, first, others)
                )
        return found


@dataclass(frozen=True, eq=False)
class AdaMerge:
    """What AdaMerging found.

    Attributes:
        weights: the merged model.
        coefficients: tensor name -> coefficient of each task vector.
        entropies: the loss before each step, in nats, summed over the tasks.
    """

    weights: dict[str, Tensor]
    coefficients: dict[str, tuple[float, ...]]
    entropies: tuple[float, ...]


def entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy of the softmax outputs, in nats.

    Args:
        logits: [*, num_classes].

    >>> round(float(entropy(torch.zeros(3, 2))), 4)
    0.6931
    """
    logs = torch.log_softmax(logits, dim=-1)
    return -(logs.exp() * logs).sum(dim=-1).mean()


def _endless(batches: Iterable[Batch], position: int) -> Iterator[Batch]:
    kept = list(batches)
    if not kept:
        raise MergeError(f"Task {position + 1} has no batches, and its entropy cannot be measured; give at least one.")
    return cycle(kept)


def _combined(base: Tensors, vectors: Mapping[str, Tensor], coefficients: Tensor) -> dict[str, Tensor]:
    """Return the weights of the merge, differentiable in the coefficients [num_tensors or 1, num_models]."""
    weights = dict(base)
    for position, (name, vector) in enumerate(vectors.items()):
        row = coefficients[min(position, len(coefficients) - 1)].to(vector.dtype)
        weights[name] = base[name].to(vector.dtype) + torch.tensordot(row, vector, dims=1)
    return weights


def _rounded(
    base: Tensors, models: Sequence[Tensors], vectors: Mapping[str, Tensor], coefficients: Tensor
) -> dict[str, Tensor]:
    combined = _combined(base, vectors, coefficients)
    return {
        name: merged_tensor(lambda name, *_: combined[name], name, tensor, [model[name] for model in models])
        if name in vectors
        else tensor.clone()
        for name, tensor in base.items()
    }


def _named(vectors: Mapping[str, Tensor], coefficients: Tensor) -> dict[str, tuple[float, ...]]:
    rows = coefficients.expand(len(vectors), -1).tolist()
    return {name: tuple(row) for name, row in zip(vectors, rows, strict=True)}
