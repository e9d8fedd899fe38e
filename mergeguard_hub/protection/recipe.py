"""A recipe: the ordered stages of a protection, and the presets that have a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.names import Shape
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.head_mix import HeadMix
from mergeguard_hub.protection.head_scaling import HeadScaling
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.norm_absorption import NormAbsorption
from mergeguard_hub.protection.permutations import ChannelPermutation, ExpertPermutation, HeadPermutation
from mergeguard_hub.protection.residual_shuffle import ResidualShuffle
from mergeguard_hub.protection.stage import Facts, Stage
from mergeguard_hub.protection.unit_rearrangement import UnitRearrangement
from mergeguard_hub.protection.unit_scaling import UnitScaling

STAGES: dict[str, type[Stage]] = {
    stage.__name__: stage
    for stage in (
        UnitRearrangement,
        UnitScaling,
        HeadScaling,
        HeadMix,
        HeadPermutation,
        NormAbsorption,
        ResidualShuffle,
        ExpertPermutation,
        ChannelPermutation,
    )
}
PRESETS: dict[str, tuple[Stage, ...]] = {
    "exact": (
        UnitRearrangement(),
        UnitScaling(),
        HeadMix(kind="exact"),
        HeadPermutation(),
        NormAbsorption(),
        ExpertPermutation(),
        ChannelPermutation(),
        ResidualShuffle(),
    ),
    "params": (UnitRearrangement(assignment="mismatch"), HeadScaling()),
    "mergelock": (HeadMix(kind="invertible"),),
}


@dataclass(frozen=True, init=False)
class Recipe:
    """The stages of a protection, in the order they act.

    Attributes:
        stages: frozen stage objects.
        name: the preset's name, or "custom".

    >>> [type(stage).__name__ for stage in Recipe.preset("mergelock").stages]
    ['HeadMix']
    """

    stages: tuple[Stage, ...]
    name: str

    def __init__(self, stages: Iterable[Stage], *, name: str = "custom") -> None:
        """Take the stages in order.

        Raises:
            RecipeError: there are none, or one is not a stage.
        """
        found = tuple(stages)
        if not found:
            raise RecipeError("the recipe has no stages, so it would protect nothing; give at least one.")
        wrong = next((stage for stage in found if not isinstance(stage, Stage) or isinstance(stage, type)), None)
        if wrong is not None:
            raise RecipeError(f"{wrong!r} is not a stage; give objects such as UnitRearrangement() or HeadMix().")
        object.__setattr__(self, "stages", found)
        object.__setattr__(self, "name", name)

    @classmethod
    def preset(cls, name: str) -> Recipe:
        """Return a preset by name.

        Raises:
            RecipeError: there is no preset of that name.
        """
        if name not in PRESETS:
            raise RecipeError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return cls(PRESETS[name], name=name)

    @classmethod
    def from_settings(cls, stages: Sequence[dict[str, Any]], *, name: str) -> Recipe:
        """Build the recipe again from what `settings` returned.

        Raises:
            RecipeError: a stage is unknown to this version.
        """
        unknown = next((entry["stage"] for entry in stages if entry.get("stage") not in STAGES), None)
        if unknown is not None:
            raise RecipeError(f"stage {unknown!r} is unknown to this version of mergeguard-hub; update it.")
        built = [STAGES[e["stage"]](**{k: v for k, v in e.items() if k != "stage"}) for e in stages]
        return cls(built, name=name)

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The stages as JSON-ready data; nothing in it is secret."""
        return [{"stage": type(stage).__name__, **asdict(stage)} for stage in self.stages]  # type: ignore[call-overload]

    @property
    def exact(self) -> bool:
        """Whether no stage rounds, so that unlocking restores every byte."""
        return all(stage.exact for stage in self.stages)

    @property
    def needs_base(self) -> bool:
        """Whether a stage is computed against the base model."""
        return any(isinstance(stage, UnitRearrangement) and stage.assignment == "mismatch" for stage in self.stages)


def targets(stage: Stage, spaces: Iterable[Space]) -> Iterator[Space]:
    """Yield the spaces that a stage acts on: of its kinds, with at least one claim that it needs."""
    return (space for space in spaces if space.kind in stage.kinds and space.claims & stage.needs)


def build_plan(
    shapes: dict[str, Shape], spaces: Sequence[Space], *, recipe: Recipe, key: Key, component: str, facts: Facts
) -> Plan:
    """Compose all actions of a recipe into one plan; the same arguments always give the same plan.

    Args:
        shapes: tensor name -> shape.
        spaces: proved spaces of one component.
        recipe: stages in order.
        key: the owner's key.
        component: name of the component, which separates the generators of a pipeline's models.
        facts: what stages may know of the weights.
    """
    plan = Plan(shapes)
    for number, stage in enumerate(recipe.stages):
        for space in targets(stage, spaces):
            stream = key.stream(component, str(number), type(stage).__name__, space.name)
            action = stage.draw(space, stream, facts)
            if action is not None:
                plan.add(space, action)
    return plan
