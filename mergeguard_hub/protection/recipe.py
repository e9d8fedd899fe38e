"""A recipe: the ordered stages of a protection, and the presets that have a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mergeguard_hub.architecture.space import Space
from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.channel_permutation import ChannelPermutation
from mergeguard_hub.protection.expert_permutation import ExpertPermutation
from mergeguard_hub.protection.head_mix import HeadMix
from mergeguard_hub.protection.head_permutation import HeadPermutation
from mergeguard_hub.protection.head_scaling import HeadScaling
from mergeguard_hub.protection.headroom import STAGES_PER_TENSOR
from mergeguard_hub.protection.norm_absorption import NormAbsorption
from mergeguard_hub.protection.residual_shuffle import ResidualShuffle
from mergeguard_hub.protection.stage import Stage
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

NO_RECIPES: dict[str, str] = {
    "mergeguard": "MergeGuard's stage 2 sets weights back to the base's, which no key can undo: make it a folder of "
    "its own first, with `mergeguard negate SRC DST --base BASE` or `training.negate_folder`, and protect that; see "
    "docs/mergeguard.md",
    "trap2": "Trap² is trained into a model and cannot be added when it is saved: train with `HardeningLoss` and "
    "`Trap2()`, then save with a preset; see docs/hardening.md",
    "hardened": "the hardened recipe is trained into a model and cannot be added when it is saved: train with "
    "`HardeningLoss` and `Hardened()`, then save with a preset; see docs/hardening.md",
}
"""Protections that have a name and are no symmetry, with what to do instead of asking for them at a save."""


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

        Args:
            stages: at least one.
            name: what the release record calls the recipe.

        Raises:
            RecipeError: there are none, one is not a stage of this package, or too many scale the same weights.
        """
        found = tuple(stages) if isinstance(stages, Iterable) else (stages,)
        if not found:
            raise RecipeError("the recipe has no stages, so it would protect nothing; give at least one.")
        wrong = next((stage for stage in found if STAGES.get(type(stage).__name__) is not type(stage)), None)
        if wrong is not None:
            raise RecipeError(
                f"{wrong!r} is no stage of this package, so a release could not be unlocked; give objects such as "
                f"UnitRearrangement() or HeadMix(). There are {', '.join(STAGES)}."
            )
        _require_headroom(found)
        object.__setattr__(self, "stages", found)
        object.__setattr__(self, "name", name)

    @classmethod
    def preset(cls, name: str) -> Recipe:
        """Return a preset by name.

        Args:
            name: a key of `PRESETS`.

        Raises:
            RecipeError: there is no preset of that name, or it is nothing that a save can do.
        """
        if name in NO_RECIPES:
            raise RecipeError(f"{name!r} is no preset: {NO_RECIPES[name]}.")
        if name not in PRESETS:
            raise RecipeError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return cls(PRESETS[name], name=name)

    @classmethod
    def from_settings(cls, stages: Sequence[dict[str, Any]], *, name: str) -> Recipe:
        """Build the recipe again from what `settings` returned.

        Args:
            stages: one entry per stage, read back from JSON.
            name: the recipe's name.

        Raises:
            RecipeError: a stage, or a setting of one, is unknown to this version.
        """
        built: list[Stage] = []
        for entry in stages:
            kind = STAGES.get(str(entry.get("stage")))
            if kind is None:
                raise RecipeError(
                    f"stage {entry.get('stage')!r} is unknown to this version of mergeguard-hub; update it."
                )
            try:
                built.append(kind(**{field: value for field, value in entry.items() if field != "stage"}))
            except TypeError as error:
                raise RecipeError(
                    f"stage {entry['stage']!r} has settings that this version of mergeguard-hub does not know "
                    f"({error}); update it."
                ) from error
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
    """Yield the spaces that a stage acts on: of its kinds, with at least one claim that it needs.

    Args:
        stage: one stage.
        spaces: proved spaces.
    """
    return (space for space in spaces if space.kind in stage.kinds and space.claims & stage.needs)


def _require_headroom(stages: tuple[Stage, ...]) -> None:
    """Refuse more stages of powers of two on one tensor than share its headroom: together they could lose bits."""
    scaling = [stage for stage in stages if stage.exact and getattr(stage, "max_exponent", 0) > 0]
    rows = max(sum(kind in stage.kinds for stage in scaling) for kind in ("hidden_units", "query_key", "value_output"))
    columns = sum("norm" in stage.kinds for stage in scaling)
    if rows + columns > STAGES_PER_TENSOR:
        raise RecipeError(
            f"{rows + columns} stages of the recipe scale the same weights by powers of two, at most "
            f"{STAGES_PER_TENSOR} can without losing bits; take one out, or set its max_exponent to 0."
        )
