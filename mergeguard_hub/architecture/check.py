"""One check of a proof: a random action of one kind on some spaces, and what it does to a miniature's outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from mergeguard_hub.architecture.action import Action, Mix, Monomial, Plan
from mergeguard_hub.architecture.rotary import quarter_turns, rotations
from mergeguard_hub.architecture.space import Claim, Positions, Space
from mergeguard_hub.architecture.steps import Floats
from mergeguard_hub.architecture.subject import Subject


def check(miniature: Subject, spaces: Iterable[Space], claim: Claim) -> float:
    """Return the relative output error after one random action of this kind on every space that claims it."""
    generator = np.random.default_rng(20260103)
    plan = Plan({name: tuple(t.shape) for name, t in miniature.state.items()})
    try:
        for space in spaces:
            if claim in space.claims:
                plan.add(space, random_action(space, claim, generator))
        state = {name: plan.apply(name, miniature.state[plan.source.get(name, name)]) for name in miniature.state}
        return miniature.error(state)
    except (RuntimeError, ValueError, KeyError, IndexError):  # a reading that does not even fit the tensors
        return math.inf


def random_action(space: Space, claim: Claim, generator: np.random.Generator) -> Action:
    """Draw one action of one kind; scales and mixes stay well conditioned."""
    size = space.size
    same, ones = np.arange(size, dtype=np.int64), np.ones(size)
    if claim == "mix":
        return Mix(_random_mix(space, generator))
    if space.pairs is not None:
        return _random_turn(space, space.pairs, claim, generator)
    if claim == "permute":
        return Monomial(random_cycle(size, generator), ones, ones)
    if claim == "sign":
        return Monomial(same, generator.choice([-1.0, 1.0], size), ones)
    return Monomial(same, ones, generator.uniform(0.5, 2.0, size))


def random_cycle(size: int, generator: np.random.Generator) -> Positions:
    """Return a random permutation without fixed points, so that no draw moves nothing."""
    order = generator.permutation(size)
    cycle = np.empty(size, dtype=np.int64)
    cycle[order] = np.roll(order, 1)
    return cycle


def _random_turn(space: Space, pairs: Positions, claim: Claim, generator: np.random.Generator) -> Monomial:
    count = len(pairs)
    if claim == "scale":
        scales = np.ones(space.size)
        scales[pairs] = generator.uniform(0.5, 2.0, count)[:, None]
        return Monomial(np.arange(space.size, dtype=np.int64), np.ones(space.size), scales)
    turns = 2 * generator.integers(0, 2, count) + (1 if claim == "permute" else 0)
    return quarter_turns(space, turns, np.ones(count))


def _random_mix(space: Space, generator: np.random.Generator) -> Floats:
    if space.pairs is None:
        orthogonal, _ = np.linalg.qr(generator.normal(size=(space.size, space.size)))
        return np.asarray(orthogonal * generator.uniform(0.5, 2.0, space.size))
    count = len(space.pairs)
    return rotations(space, generator.uniform(0, 2 * np.pi, count), generator.uniform(0.5, 2.0, count))
