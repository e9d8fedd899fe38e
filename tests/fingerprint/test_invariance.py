"""No stage of any recipe changes a fingerprint, in any family; other weights do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergeguard_hub.fingerprint.measuring import measure
from mergeguard_hub.fingerprint.record import Form
from mergeguard_hub.fingerprint.spectra import measure_spectra
from mergeguard_hub.protection import PRESETS, STAGES, HeadMix, Recipe
from tests import tiny
from tests.fingerprint.scenes import Tensors, protected, scene, weights

RECIPES = {kind.__name__: Recipe([kind()]) for kind in STAGES.values()}
RECIPES |= {f"HeadMix-{kind}": Recipe([HeadMix(kind=kind)]) for kind in ("orthogonal", "invertible")}
RECIPES |= {preset: Recipe.preset(preset) for preset in PRESETS}
# Forms are sums in float32, in another order; whatever rounds the weights shows as much as it rounds them.
REORDERED = 2e-5
ROUNDED = {torch.float64: REORDERED, torch.float32: REORDERED, torch.bfloat16: 3e-2}

families = pytest.mark.parametrize("family", list(tiny.FAMILIES))


def _relative(ours: list[Form], theirs: list[Form]) -> dict[str, float]:
    """Return the largest relative difference of the forms of each kind."""
    assert [form.key for form in ours] == [form.key for form in theirs]
    found: dict[str, float] = {}
    for one, two in zip(ours, theirs, strict=True):
        size = float(np.linalg.norm(one.values.astype(np.float64)))
        difference = float(np.linalg.norm(one.values.astype(np.float64) - two.values)) / max(size, 1e-30)
        found[one.kind] = max(found.get(one.kind, 0.0), difference)
    return found


def _all(family: str, tensors: Tensors) -> list[Form]:
    layout = scene(family).layout
    return measure(layout, tensors) + measure_spectra(layout, tensors)


@families
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_no_stage_and_no_preset_changes_a_fingerprint(family: str, dtype: torch.dtype) -> None:
    tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in scene(family).tensors.items()}
    before = _all(family, tensors)
    acted = set()
    for name, recipe in RECIPES.items() if dtype == torch.float32 else [(p, RECIPES[p]) for p in PRESETS]:
        after, moved = protected(scene(family).layout, tensors, recipe)
        allowed = REORDERED if recipe.exact else ROUNDED[dtype]
        differences = _relative(before, _all(family, after))
        assert max(differences.values()) <= allowed, (name, differences)
        acted |= {name} if moved else set()
    assert set(PRESETS) & set(RECIPES) <= acted


@families
def test_unrelated_weights_change_every_form(family: str) -> None:
    same, other = _all(family, scene(family).tensors), _all(family, weights(family, seed=7))
    differences = {form.key: _relative([form], [twin])[form.kind] for form, twin in zip(same, other, strict=True)}
    forms = {key: value for key, value in differences.items() if not key[2].endswith("_sizes")}
    assert min(forms.values()) > 0.1, forms
    assert min(differences.values()) > 1e-3, differences
