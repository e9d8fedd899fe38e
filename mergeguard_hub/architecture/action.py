"""Actions on spaces, and the plan that composes them into one pass over each tensor.

Group elements are composed before any weight is read: whatever the recipe, a tensor is read once, moved once and
rounded once. Permutations, signs and powers of two need no arithmetic that could round and run in the tensor's own
dtype; anything else runs in float64 (float32 for 16-bit tensors, whose own rounding is four orders of magnitude
coarser).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.space import Port, Positions, Space
from mergeguard_hub.architecture.steps import Floats, Gather, Matmul, Step, inverse_of


@dataclass(frozen=True, eq=False)
class Monomial:
    """Unit i of the result is `signs[i] * scales[i]` times unit `permutation[i]` of the input.

    Attributes:
        permutation: [size], a permutation of range(size).
        signs: [size], +1 or -1.
        scales: [size], positive.
    """

    permutation: Positions
    signs: Floats
    scales: Floats

    def factors(self, port: Port) -> Floats:
        """Return the factor of each unit on one port, [size]."""
        signs = self.signs if port.sign else np.ones_like(self.signs)
        return signs if port.scale == 0 else signs * self.scales**port.scale


@dataclass(frozen=True, eq=False)
class Mix:
    """The units are replaced by `matrix @ units`; ports with `scale=-1` take the inverse transpose.

    Attributes:
        matrix: [size, size], invertible, float64.
    """

    matrix: Floats

    def factors(self, port: Port) -> Floats:
        """Return the matrix that acts along one port's axis, [size, size]."""
        if port.scale == 0:
            raise ValueError(f"{port.tensor} axis {port.axis} only moves; a mix cannot act on it")
        return self.matrix if port.scale > 0 else inverse_of(self.matrix).T


Action = Monomial | Mix


@dataclass(eq=False)
class Plan:
    """Everything a recipe does to a checkpoint, as steps per tensor axis.

    Attributes:
        shapes: tensor name -> shape.
        steps: tensor name -> axis -> steps in order.
        source: tensor name -> the tensor its content comes from, where that is another one (expert permutation).
    """

    shapes: dict[str, tuple[int, ...]]
    steps: dict[str, dict[int, list[Step]]] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)

    def add(self, space: Space, action: Action) -> None:
        """Compose one action on one space into the plan, after everything added before."""
        for port in space.ports:
            holder = self.source.get(port.tensor, port.tensor)
            steps = self.steps.setdefault(holder, {}).setdefault(port.axis, [])
            if isinstance(action, Monomial):
                self._gather(steps, port, action)
            else:
                self._matmul(steps, port, action)
        if space.families:
            if not isinstance(action, Monomial):
                raise ValueError(f"{space.name}: whole tensors can be permuted, not mixed")
            self._exchange(space, action)

    def _gather(self, steps: list[Step], port: Port, action: Monomial) -> None:
        length = self.shapes[port.tensor][port.axis]
        last = steps[-1] if steps else None
        if not isinstance(last, Gather):
            last = Gather(np.arange(length, dtype=np.int64), np.ones(length))
            steps.append(last)
        to, of = port.positions, port.positions[action.permutation]
        index, factor = last.index[of], last.factor[of]
        last.index[to] = index
        last.factor[to] = factor * action.factors(port)[:, None]

    def _matmul(self, steps: list[Step], port: Port, action: Mix) -> None:
        matrix = action.factors(port)
        last = steps[-1] if steps else None
        for copy in range(port.positions.shape[1]):
            positions = port.positions[:, copy]
            if not isinstance(last, Matmul) or np.isin(positions, np.concatenate(last.positions)).any():
                last = Matmul([], [])
                steps.append(last)
            last.positions.append(positions)
            last.matrices.append(matrix)

    def _exchange(self, space: Space, action: Monomial) -> None:
        for family in space.families:
            before = [self.source.get(name, name) for name in family]
            for unit, of in enumerate(action.permutation.tolist()):
                self.source[family[unit]] = before[of]

    def inverse(self) -> Plan:
        """Return the plan that undoes this one: exactly for moves, signs and powers of two, else up to rounding."""
        holder = {of: name for name, of in self.source.items()}
        undone = {
            holder.get(of, of): {axis: [step.inverse() for step in reversed(todo)] for axis, todo in axes.items()}
            for of, axes in self.steps.items()
        }
        return Plan(self.shapes, undone, holder)

    @property
    def moved(self) -> frozenset[str]:
        """Names of tensors that differ from the original after the plan."""
        return frozenset(self.steps) | frozenset(name for name, of in self.source.items() if name != of)

    def axes_of(self, name: str) -> dict[int, list[Step]]:
        """Return the steps that act on what will be stored under `name`, keyed by axis."""
        return self.steps.get(self.source.get(name, name), {})

    def rounds(self, name: str) -> bool:
        """Whether storing this tensor rounds: true once a step is more than a move, a sign or a power of two."""
        return any(not step.exact for todo in self.axes_of(name).values() for step in todo)

    def part(self, name: str) -> Plan:
        """Return as much of the plan as says what is stored under one name: small, to be sent to another process."""
        holder = self.source.get(name, name)
        return Plan({}, {holder: self.steps[holder]} if holder in self.steps else {}, {name: holder})

    def apply(self, name: str, tensor: Tensor) -> Tensor:
        """Return what will be stored under `name`, given the source tensor; same shape and dtype, a new tensor."""
        result = tensor.to(working_dtype(tensor.dtype)) if self.rounds(name) else tensor
        for axis, todo in self.axes_of(name).items():
            for step in todo:
                result = step.apply(result, axis)
        return result.to(tensor.dtype) if self.axes_of(name) else tensor.clone()


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which arithmetic that rounds is done, for weights stored in `dtype`."""
    return torch.float32 if dtype.itemsize < 4 else torch.float64
