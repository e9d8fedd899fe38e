"""A model seen through what an attack has solved so far, tensor by tensor, and which symmetries reach which tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from mergeguard_hub.architecture.action import Action, Plan
from mergeguard_hub.architecture.space import Port, Space


class View(Mapping[str, Tensor]):
    """Float64 tensors of a model after a growing plan. It keeps what was read since `forget`, and nothing else.

    Attributes:
        plan: everything that was done so far.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._kept: dict[str, Tensor] = {}
        self.plan = Plan({name: tuple(tensors[name].shape) for name in tensors})

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._kept:
            self._kept[name] = self.plan.apply(name, self._tensors[self.plan.source.get(name, name)].double())
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def act(self, space: Space, action: Action) -> None:
        """Let an action follow everything that was done before."""
        self.plan.add(space, action)
        for name in space.tensors:
            self._kept.pop(name, None)

    def forget(self) -> None:
        """Drop every tensor that was read, so that memory stays at a block's size."""
        self._kept.clear()

    def stored(self) -> dict[str, Tensor]:
        """Return the whole model after the plan, each tensor rounded once to the dtype that it had."""
        return {name: self.stored_one(name) for name in self._tensors}

    def stored_one(self, name: str) -> Tensor:
        """Return what will be stored under one name, rounded once to the dtype that it had."""
        source = self._tensors[self.plan.source.get(name, name)]
        if not source.is_floating_point() or name not in self.plan.moved:
            return source.clone()
        return self.plan.apply(name, source.double()).to(source.dtype)


class Atlas:
    """Which spaces act on which tensor axes, and which of them are still unsolved.

    Attributes:
        unsolved: names of spaces.
        aligned: whether every space was solved once, so that differences between the models are the training's.
    """

    def __init__(self, spaces: Sequence[Space]) -> None:
        self.aligned = False
        self.unsolved = {space.name for space in spaces}
        self._at: dict[str, list[tuple[int, Space, Port | None]]] = {}
        for space in spaces:
            for port in space.ports:
                self._at.setdefault(port.tensor, []).append((port.axis, space, port))
            for family in space.families:
                for name in family:
                    self._at.setdefault(name, []).append((-1, space, None))

    def clean(self, space: Space, port: Port) -> bool:
        """Whether no unsolved symmetry acts on the tensor's other axes, or moves it as a whole."""
        return not any(
            axis != port.axis and other.name != space.name and other.name in self.unsolved
            for axis, other, _ in self._at.get(port.tensor, ())
        )

    def loose(self, space: Space, port: Port) -> bool:
        """Whether an unsolved symmetry may flip or scale the same units on this axis."""
        return any(
            axis == port.axis
            and other.name != space.name
            and other.name in self.unsolved
            and bool(other.claims - {"permute"})
            and at is not None
            and bool(np.isin(at.positions, port.positions).any())
            for axis, other, at in self._at.get(port.tensor, ())
        )
