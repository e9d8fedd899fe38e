"""What the tables need to know of a family of fine-tunes, whatever its architecture and size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from mergeguard_hub.audit.tasks import Task
from mergeguard_hub.merging import DareTies, MergeMethod, TaskArithmetic, Ties, WeightAveraging

Batch = Any
Run = Callable[..., Any]
"""A module, or the same module with other weights: called with inputs by keyword."""

METHODS: Mapping[str, MergeMethod] = {"WA": WeightAveraging(), "TA": TaskArithmetic(scale=0.3), "TIES": Ties(scale=0.3)}
"""Weight averaging, task arithmetic and TIES as AdaMerging's authors run them on eight tasks: both at 0.3."""
LANGUAGE_METHODS: Mapping[str, MergeMethod] = {
    "WA": WeightAveraging(),
    "TA": TaskArithmetic(scale=0.5),
    "TIES": Ties(),
    "DARE+TIES": DareTies(density=0.8),
}


class Data(Protocol):
    """Labelled training examples of every task, and how a model is put to them."""

    def batches(self, task: str, count: int, size: int, *, seed: int = 0) -> list[Batch]:
        """Return `count` examples in batches of `size`; the same for the same seed."""
        ...

    def loss(self, run: Run, task: str, batch: Batch) -> Tensor:
        """Return the task's mean loss on a batch, a scalar with its graph."""
        ...


@dataclass(frozen=True)
class Training:
    """How density-aware fine-tuning, stage 1, is run: the paper gives alpha, 0.01, and nothing else.

    Attributes:
        steps: of AdamW without weight decay, from the finished fine-tune.
        learning_rate: warmed up over a twentieth, then down along a cosine.
        size: examples per step.
        examples: different ones, gone through again and again.
    """

    steps: int = 400
    learning_rate: float = 1e-4
    size: int = 64
    examples: int = 4000


@dataclass(frozen=True, eq=False)
class Family:
    """A base, its fine-tunes by task, and what measures them.

    Attributes:
        title: for readers.
        base: folder of the base.
        tuned: task -> folder of its fine-tune, all in the base's layout.
        tasks: task -> what scores it, on items that no training sees.
        data: labelled training examples.
        load: reads a folder; the module has the folder's weights and nothing else.
        wrap: turns the module into what tasks are put to.
        training: of stage 1.
        methods: the merges.
        roles: task -> the paper's dataset whose place it takes; empty: no numbers of the paper are shown.
        ranked: examples per task that layers are ranked on.
        limit: items of a task that merges are scored on; None: all.
        logits: (run, task, batch) -> logits for AdaMerging, of unlabelled inputs; None: no AdaMerging.
    """

    title: str
    base: Path
    tuned: Mapping[str, Path]
    tasks: Mapping[str, Task[Any]]
    data: Data
    load: Callable[[Path], nn.Module]
    wrap: Callable[[nn.Module], Any]
    training: Training = field(default_factory=Training)
    methods: Mapping[str, MergeMethod] = field(default_factory=lambda: METHODS)
    roles: Mapping[str, str] = field(default_factory=dict)
    ranked: int = 1024
    limit: int | None = None
    logits: Callable[[Run, str, Batch], Tensor] | None = None

    def others(self, task: str) -> Sequence[str]:
        """Return the tasks of the free-rider's own fine-tunes."""
        return [other for other in self.tuned if other != task]
