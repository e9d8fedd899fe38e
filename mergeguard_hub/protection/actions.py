"""From a recipe and a key to the actions of one component, and the mark by which they are known again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Action, Mix, Plan
from mergeguard_hub.architecture.names import Shape
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe, targets
from mergeguard_hub.protection.stage import Facts

_MARK_LABEL = b"mergeguard actions v1"
_STEPS = 64  # numbers are marked to one part in this many, our choice


@dataclass(frozen=True, eq=False)
class Drawn:
    """One action on one space, as a stage drew it.

    Attributes:
        label: number and name of the stage.
        space: where it acts.
        action: what it does there.
    """

    label: str
    space: Space
    action: Action


def draw_actions(spaces: Sequence[Space], *, recipe: Recipe, key: Key, component: str, facts: Facts) -> Iterator[Drawn]:
    """Yield all actions of a recipe, in order; the same arguments always give the same actions.

    Args:
        spaces: proved spaces of one component.
        recipe: stages in order.
        key: the owner's key.
        component: name of the component, which separates the generators of a pipeline's models.
        facts: what stages may know of the weights.
    """
    for number, stage in enumerate(recipe.stages):
        for space in targets(stage, spaces):
            stream = key.stream(component, str(number), type(stage).__name__, space.name, facts.salt)
            action = stage.draw(space, stream, facts)
            if action is not None:
                yield Drawn(f"{number} {type(stage).__name__}", space, action)


def compose_plan(shapes: dict[str, Shape], actions: Iterable[Drawn]) -> Plan:
    """Compose actions into one plan.

    Args:
        shapes: tensor name -> shape.
        actions: in the order in which they act.
    """
    plan = Plan(shapes)
    for drawn in actions:
        plan.add(drawn.space, drawn.action)
    return plan


def mark_actions(actions: Iterable[Drawn], key: Key) -> str:
    """Return a keyed hash of actions: it tells the owner that the same ones were drawn again, and nobody else a thing.

    It covers where each action goes, its permutation and signs to the bit, and its factors and matrices coarsely:
    logarithms and rotations differ in their last bits between machines, which unlocking does not mind, while another
    way of drawing them gives other numbers altogether.

    Args:
        actions: as drawn.
        key: the owner's key.
    """
    state = hmac.new(key.secret, _MARK_LABEL, hashlib.sha256)
    for drawn in actions:
        members = [name for family in drawn.space.families for name in family]
        state.update(_text(drawn.label, drawn.space.name, *members))
        for port in drawn.space.ports:
            state.update(_text(port.tensor, str(port.axis), str(port.sign), str(port.scale)))
            state.update(_whole(port.positions))
        for numbers in _numbers(drawn.action):
            state.update(_whole(numbers))
    return state.hexdigest()


def _numbers(action: Action) -> tuple[NDArray[np.int64], ...]:
    """Return what is marked of an action, as whole numbers."""
    if isinstance(action, Mix):
        return (_coarse(action.matrix[:, 0]),)
    return action.permutation, _coarse(action.signs), _coarse(np.log2(action.scales))


def _coarse(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(_STEPS * values).astype(np.int64)


def _whole(numbers: NDArray[np.int64]) -> bytes:
    return f"{numbers.shape}\0".encode() + numbers.astype("<i8").tobytes()


def _text(*words: str) -> bytes:
    return "".join(f"{len(word)}:{word}" for word in words).encode()
