"""Tiny models in the layout they have on disk: a base, two fine-tunes, what was proved, and protected versions."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mergeguard_hub.architecture import Layout
from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.attacks import Knowledge, layout_of
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.protection import Facts, Key, Recipe
from mergeguard_hub.protection.actions import Drawn, compose_plan, draw_actions
from mergeguard_hub.protection.mismatch import mismatch
from tests import tiny
from tests.release.releases import fine_tuned, weights

State = dict[str, Tensor]
STEP = 0.02  # fine-tunes lie this far from their base, relative: ordinary for language models, far for vision models
KEY = Key(bytes(range(32)))
SETTINGS: dict[str, dict[str, Any]] = {
    # One block each way: what is proved of them holds for any number.
    "unet": {
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
        "block_out_channels": (16,),
        "layers_per_block": 1,
    },
}


@dataclass(frozen=True, eq=False)
class Scene:
    """What the owner and the free-rider have.

    Attributes:
        family: key of `tiny.FAMILIES`.
        model: a module of that class, to run weights with.
        base, tuned, partner: weights.
        layout: what was proved.
    """

    family: str
    model: Any
    base: State
    tuned: State
    partner: State
    layout: Layout

    @property
    def knowledge(self) -> Knowledge:
        """What the free-rider knows besides the base."""
        return Knowledge(layout=self.layout, partner=self.partner)

    def facts(self, recipe: Recipe) -> Facts:
        """What stages may know."""
        assigned = {}
        if recipe.needs_base:
            for space in self.layout.spaces:
                if space.kind == "hidden_units":
                    assigned[space.name] = mismatch(space, read=self.tuned.__getitem__, read_base=self.base.__getitem__)
        return Facts(dtypes=dict.fromkeys(self.tuned, "F32"), assignments=assigned, salt=self.family)

    def drawn(self, recipe: Recipe) -> list[Drawn]:
        """Return the actions that the key draws."""
        facts = self.facts(recipe)
        return list(draw_actions(self.layout.spaces, recipe=recipe, key=KEY, component="", facts=facts))

    def protect(self, recipe: Recipe) -> State:
        """Return the release."""
        plan = compose_plan({name: tuple(t.shape) for name, t in self.tuned.items()}, self.drawn(recipe))
        return act(plan, self.tuned)

    def outputs(self, state: State) -> Tensor:
        """Return everything that the model answers with these weights, in one vector, in float64."""
        return torch.cat([value.flatten().double() for value in tiny.outputs(self.load(state)).values()])

    def load(self, state: State) -> Any:
        """Return a module with these weights, loaded from disk as a stranger would."""
        with tempfile.TemporaryDirectory() as folder:
            place = tiny.save(self.model, Path(folder))
            file = next(place.glob("*.safetensors"))
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, file, metadata={"format": "pt"})
            return tiny.load(self.model, place)


def act(plan: Plan, state: State) -> State:
    """Return the weights after a plan."""
    return {
        name: plan.apply(name, state[plan.source.get(name, name)]) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in state.items()
    }


@cache
def _layout(family: str) -> Layout:
    with tempfile.TemporaryDirectory() as folder:
        return layout_of(Checkpoint.open(tiny.save(tiny.FAMILIES[family](**SETTINGS.get(family, {})), Path(folder))))


@cache
def scene(family: str, step: float = STEP) -> Scene:
    """Return the scene of a family; the same object whenever it is asked for."""
    over = SETTINGS.get(family, {})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = tiny.FAMILIES[family](**over)
        base = tiny.save(model, place / "base")
        tuned = [tiny.save(fine_tuned(family, seed=seed, step=step, **over), place / str(seed)) for seed in (1, 2)]
        layout = _layout(family)
        return Scene(family, model, weights(base), *(weights(path) for path in tuned), layout)


def average(one: State, other: State) -> State:
    """Return the plain merge of two models."""
    return {
        name: ((tensor.double() + other[name].double()) / 2).to(tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in one.items()
    }


def flat(state: State) -> Tensor:
    """Return all floating-point weights in one vector, float64."""
    return torch.cat([state[name].double().flatten() for name in sorted(state) if state[name].is_floating_point()])


def apart(expected: Tensor, found: Tensor) -> float:
    """Return |expected - found| / |expected|."""
    return float((expected - found).norm() / expected.norm())
