"""The alignment attack as it was published: one side of one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.block import Mlp, Part
from mergeguard_hub.architecture.space import Positions
from mergeguard_hub.attacks.attack import Knowledge, Need, Tensors, check_same_tensors, require, rewritten
from mergeguard_hub.attacks.matching import assign


@dataclass(frozen=True)
class Aga:
    """Least squares per head on queries, keys, values and outputs, each alone; Hungarian matching of hidden units.

    "On the Vulnerability of Parameter-Level Defenses to Model Merging" (arXiv 2606.30360), as in its public code: per
    head T = (X^T X + ridge)^-1 X^T Y in float64 between the release's rows X^T and the base's Y^T; biases go with
    them; outputs by columns. Hidden units are matched by the cosine of their input rows alone; in a gated MLP, which
    the paper does not treat, by those of the gate (our reading).

    Because queries and keys are solved apart, the attacked model no longer computes quite what the release computes,
    and under rotary embeddings T is not in the group at all. It does not know the residual stream, norms, factors of
    gated units, experts, heads that changed places or convolutions.

    Attributes:
        ridge: added to the diagonal of X^T X; 1e-8 is the published code's.
    """

    title: ClassVar[str] = "AGA"
    paper: ClassVar[str] = "https://arxiv.org/abs/2606.30360"
    needs: ClassVar[frozenset[Need]] = frozenset({"base", "architecture"})
    everyone: ClassVar[bool] = False

    ridge: float = 1e-8

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release with every head and MLP aligned; see `Attack.apply`."""
        layout = require(self, knowledge)
        check_same_tensors(protected, base)
        found: dict[str, Tensor] = {}
        for attention in layout.attentions:
            for part in (attention.query, attention.key, attention.value, attention.output):
                for head in _heads(part):
                    self._align(part, head, _Work(protected, base, found))
        for mlp in layout.mlps:
            _match_units(mlp, _Work(protected, base, found))
        return rewritten(protected, found)

    def _align(self, part: Part, head: Positions, work: _Work) -> None:
        ours, theirs = (_rows(tensor, part.axis, head) for tensor in (work.ours(part.weight), work.base[part.weight]))
        gram = ours @ ours.T + self.ridge * torch.eye(len(ours), dtype=torch.float64)
        matrix = torch.linalg.solve(gram, ours @ theirs.double().T).T
        _put(work.ours(part.weight), part.axis, head, matrix @ ours)
        if part.bias is not None:
            bias = work.ours(part.bias)
            _put(bias, 0, head, matrix @ _rows(bias, 0, head))


@dataclass(frozen=True, eq=False)
class _Work:
    """The release, the base, and what was changed so far in float64."""

    protected: Tensors
    base: Tensors
    found: dict[str, Tensor]

    def ours(self, name: str) -> Tensor:
        """Return the attacked tensor to read or write."""
        return self.found.setdefault(name, self.protected[name].double().clone())


def _heads(part: Part) -> Iterator[Positions]:
    yield from part.positions.reshape(-1, part.positions.shape[-1])


def _rows(tensor: Tensor, axis: int, at: Positions) -> Tensor:
    """Return some units as float64 rows, [n, features]."""
    units: Tensor = tensor.index_select(axis, torch.from_numpy(at)).movedim(axis, 0)
    return units.reshape(len(at), -1).double()


def _put(tensor: Tensor, axis: int, at: Positions, rows: Tensor) -> None:
    moved = tensor.movedim(axis, 0)
    moved[torch.from_numpy(at)] = rows.reshape(len(at), *moved.shape[1:])


def _match_units(mlp: Mlp, work: _Work) -> None:
    """Match hidden units of a dense MLP; stacked experts have a first axis that the published code does not know."""
    leading = mlp.gate if mlp.gate is not None else mlp.up
    if work.protected[leading.weight].ndim != 2:
        return
    directions = [
        torch.nn.functional.normalize(_rows(tensors[leading.weight], leading.axis, leading.positions), dim=1)
        for tensors in (work.base, work.protected)
    ]
    order = assign(directions[0] @ directions[1].T)
    for part in mlp.parts:
        for name, axis in ((part.weight, part.axis), (part.bias, 0)):
            if name is not None:
                tensor = work.ours(name)
                _put(tensor, axis, part.positions, _rows(tensor, axis, part.positions[np.asarray(order)]))
