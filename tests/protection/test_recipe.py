"""Recipes: presets, what goes into a record and comes out of it, and settings that are refused."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection import (
    PRESETS,
    STAGES,
    HeadMix,
    HeadScaling,
    NormAbsorption,
    Recipe,
    ResidualShuffle,
    Stage,
    UnitRearrangement,
    UnitScaling,
)

UNUSUAL = Recipe(
    [
        UnitRearrangement(assignment="mismatch", largest=7),
        HeadMix(kind="invertible", max_condition=3.5),
        HeadScaling(low=0.5, high=2.0, distribution="log_uniform"),
        UnitScaling(max_exponent=2, sign=False),
        ResidualShuffle(sign=False),
    ],
    name="mine",
)


@pytest.mark.parametrize("recipe", [*map(Recipe.preset, PRESETS), UNUSUAL], ids=lambda recipe: recipe.name)
def test_settings_go_into_json_and_come_back(recipe: Recipe) -> None:
    read = json.loads(json.dumps(recipe.settings))
    again = Recipe.from_settings(read, name=recipe.name)
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.settings == recipe.settings


def test_presets_are_what_their_names_say() -> None:
    facts = {name: (Recipe.preset(name).exact, Recipe.preset(name).needs_base) for name in PRESETS}
    assert facts == {"exact": (True, False), "params": (False, True), "mergelock": (False, False)}
    assert {type(stage).__name__ for stage in Recipe.preset("exact").stages} == STAGES.keys() - {"HeadScaling"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_every_stage_is_a_frozen_object_of_few_settings(stage: type[Any]) -> None:
    made = stage()
    assert isinstance(made, Stage)
    assert stage.__name__ in STAGES
    assert stage.__bases__ == (object,)
    assert re.search(r"Source: |PaRaMS|MergeLock", stage.__doc__ or "")
    fields = dataclasses.fields(stage)
    assert len(fields) <= 5
    assert all(f"{field.name}" in (stage.__doc__ or "") for field in fields)
    for field in fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, getattr(made, field.name))


REFUSED: dict[str, tuple[Any, str]] = {
    "empty": (lambda: Recipe([]), "the recipe has no stages, so it would protect nothing; give at least one"),
    "a name": (lambda: Recipe("exact"), "'e' is no stage of this package, so a release could not be unlocked"),
    "a class": (lambda: Recipe([HeadMix]), "<class .*HeadMix'> is no stage of this package"),
    "a stage that is not ours": (lambda: Recipe([HeadMix(), object()]), "object .* is no stage of this package"),
    "preset": (lambda: Recipe.preset("best"), "no preset 'best'; choose one of exact, params, mergelock"),
    "unknown stage": (
        lambda: Recipe.from_settings([{"stage": "Encrypt"}], name="x"),
        "stage 'Encrypt' is unknown to this version of mergeguard-hub; update it",
    ),
    "no stage": (lambda: Recipe.from_settings([{"kind": "exact"}], name="x"), "stage None is unknown"),
    "unknown setting": (
        lambda: Recipe.from_settings([{"stage": "HeadMix", "depth": 3}], name="x"),
        "stage 'HeadMix' has settings that this version .* does not know .*depth.*; update it",
    ),
    "kind": (lambda: HeadMix(kind="strong"), "kind is 'strong'; choose 'exact', 'orthogonal' or 'invertible'"),
    "exponent": (lambda: HeadMix(max_exponent=17), "HeadMix: max_exponent is 17; choose a whole number from 0 to 16"),
    "half": (lambda: UnitScaling(max_exponent=2.5), "UnitScaling: max_exponent is 2.5; choose a whole number"),
    "negative": (lambda: NormAbsorption(max_exponent=-1), "NormAbsorption: max_exponent is -1"),
    "truth": (lambda: NormAbsorption(max_exponent=True), "NormAbsorption: max_exponent is True"),
    "condition": (lambda: HeadMix(max_condition=0.5), "max_condition is 0.5; a condition number is finite and at lea"),
    "no condition": (lambda: HeadMix(max_condition=float("nan")), "max_condition is nan"),
    "any condition": (lambda: HeadMix(max_condition=float("inf")), "max_condition is inf"),
    "range": (lambda: HeadScaling(low=2.0, high=1.0), "the range is 2.0 to 1.0; it must be positive, finite and asc"),
    "zero": (lambda: HeadScaling(low=0.0), "the range is 0.0 to 20.0"),
    "infinite": (lambda: HeadScaling(high=float("inf")), "the range is 0.05 to inf"),
    "distribution": (lambda: HeadScaling(distribution="beta"), "distribution is 'beta'; choose 'uniform' or 'log_uni"),
    "assignment": (lambda: UnitRearrangement(assignment="best"), "assignment is 'best'; choose 'random' or 'mismatch'"),
    "largest": (lambda: UnitRearrangement(largest=-1), "largest is -1; give a number of units, 0 or more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(RecipeError, match=message):
        make()


def test_one_stage_needs_no_list() -> None:
    assert Recipe(HeadMix()).stages == (HeadMix(),)  # type: ignore[arg-type]
    assert Recipe(stage for stage in [HeadMix()]).name == "custom"


def test_too_many_factors_on_one_weight_are_refused() -> None:
    recipe = [UnitScaling(), UnitScaling(), NormAbsorption(), NormAbsorption()]
    with pytest.raises(RecipeError, match="4 stages of the recipe scale the same weights by powers of two"):
        Recipe(recipe)
    assert len(Recipe([*recipe[:3], NormAbsorption(max_exponent=0)]).stages) == 4
