"""The answer is drawn first: every symmetry protection falls to alignment, and the merge is what it would have been.

These tests document the limit of symmetry protections. A stage that they cannot undo would be news, and is to be
written down as such, not worked around here.
"""

from __future__ import annotations

import pytest
import torch

from mergeguard_hub.architecture import Layout
from mergeguard_hub.attacks import Alignment, Knowledge
from mergeguard_hub.errors import AttackError
from mergeguard_hub.protection import (
    PRESETS,
    STAGES,
    ChannelPermutation,
    ExpertPermutation,
    HeadMix,
    HeadPermutation,
    HeadScaling,
    NormAbsorption,
    Recipe,
    ResidualShuffle,
    Stage,
    UnitRearrangement,
    UnitScaling,
)
from mergeguard_hub.protection.actions import compose_plan
from tests.attacks.scenes import State, act, apart, average, flat, scene

FAMILIES = ("llama", "gemma2", "gpt2", "vit", "clip", "unet")
CASES: dict[str, tuple[str, Stage]] = {
    "UnitRearrangement": ("llama", UnitRearrangement()),
    "UnitRearrangement mismatch": ("vit", UnitRearrangement(assignment="mismatch")),
    "UnitScaling": ("llama", UnitScaling()),
    "HeadScaling": ("llama", HeadScaling()),
    "HeadScaling without rotary": ("gpt2", HeadScaling()),
    "HeadMix": ("llama", HeadMix()),
    "HeadMix without rotary": ("vit", HeadMix()),
    "HeadMix with norms": ("qwen3", HeadMix()),
    "HeadMix orthogonal": ("llama", HeadMix(kind="orthogonal")),
    "HeadMix orthogonal without rotary": ("vit", HeadMix(kind="orthogonal")),
    "HeadMix invertible": ("llama", HeadMix(kind="invertible")),
    "HeadMix invertible without rotary": ("gpt2", HeadMix(kind="invertible")),
    "HeadPermutation": ("llama", HeadPermutation()),
    "NormAbsorption": ("llama", NormAbsorption()),
    "NormAbsorption with biases": ("vit", NormAbsorption()),
    "ResidualShuffle": ("llama", ResidualShuffle()),
    "ResidualShuffle without signs": ("gpt2", ResidualShuffle()),
    "ExpertPermutation": ("mixtral", ExpertPermutation()),
    "ChannelPermutation": ("unet", ChannelPermutation()),
}


def _attacked(family: str, recipe: Recipe) -> State:
    found = scene(family)
    return Alignment().apply(found.protect(recipe), base=found.base, knowledge=found.knowledge)


def _require_the_clean_merge(family: str, attacked: State) -> None:
    """The merge of what was attacked is the merge of the original, in its weights and in its answers."""
    found = scene(family)
    clean, merged = average(found.tuned, found.partner), average(attacked, found.partner)
    assert apart(flat(clean), flat(merged)) < 0.01
    assert apart(found.outputs(clean), found.outputs(merged)) < 0.01


def test_every_stage_is_attacked() -> None:
    assert {name.partition(" ")[0] for name in CASES} == set(STAGES)


@pytest.mark.parametrize("case", CASES)
def test_what_the_key_draws_is_found(case: str) -> None:
    family, stage = CASES[case]
    found, recipe = scene(family), Recipe([stage])
    drawn = found.drawn(recipe)
    release = found.protect(recipe)
    assert drawn
    clean = average(found.tuned, found.partner)
    assert apart(flat(clean), flat(average(release, found.partner))) > 0.1, "nothing was protected"
    attacked = Alignment().apply(release, base=found.base, knowledge=found.knowledge)
    if stage.exact:
        assert all(torch.equal(attacked[name], found.tuned[name]) for name in attacked)
    _require_the_clean_merge(family, attacked)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_presets_are_undone(family: str, preset: str) -> None:
    found = scene(family)
    attacked = _attacked(family, Recipe.preset(preset))
    assert apart(found.outputs(found.tuned), found.outputs(attacked)) < 1e-5, "the attack left the symmetry group"
    _require_the_clean_merge(family, attacked)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_general_elements_are_found_without_preferring_simple_ones(family: str) -> None:
    """Powers of two are nothing that the attack relies on; it recovers them as factors like any other."""
    found = scene(family)
    release = found.protect(Recipe.preset("exact"))
    attacked = Alignment(snap=False).apply(release, base=found.base, knowledge=found.knowledge)
    assert apart(found.outputs(found.tuned), found.outputs(attacked)) < 1e-5
    _require_the_clean_merge(family, attacked)


@pytest.mark.parametrize("family", ["llama", "vit"])
def test_a_distant_fine_tune_is_aligned_too(family: str) -> None:
    """Twenty per cent from its base, ten times what is usual: moves and powers of two are still found to the bit."""
    found = scene(family, 0.2)
    release = found.protect(Recipe.preset("exact"))
    attacked = Alignment().apply(release, base=found.base, knowledge=found.knowledge)
    assert all(torch.equal(attacked[name], found.tuned[name]) for name in attacked)


def test_gains_that_training_left_alone_beside_biases_that_it_changed() -> None:
    """As in real fine-tunes: gains move by half a per cent, biases by a third; the factors show in the gains."""
    found, recipe = scene("vit"), Recipe.preset("exact")
    noise = torch.Generator().manual_seed(3)
    tuned = dict(found.tuned)
    for name, base in found.base.items():
        if "layernorm" in name:
            step = 0.3 if name.endswith("bias") else 0.005
            tuned[name] = base + step * base.abs().mean() * torch.randn(base.shape, generator=noise)
    plan = compose_plan({name: tuple(t.shape) for name, t in tuned.items()}, found.drawn(recipe))
    attacked = Alignment().apply(act(plan, tuned), base=found.base, knowledge=found.knowledge)
    assert all(torch.equal(attacked[name], tuned[name]) for name in attacked)


@pytest.mark.parametrize("family", ["llama", "gpt2", "vit"])
def test_an_unprotected_model_is_left_as_it_is(family: str) -> None:
    found = scene(family)
    attacked = Alignment().apply(found.tuned, base=found.base, knowledge=found.knowledge)
    assert all(torch.equal(attacked[name], found.tuned[name]) for name in attacked)


def test_sixteen_bit_weights() -> None:
    found = scene("llama")
    half = {name: tensor.to(torch.bfloat16) for name, tensor in found.protect(Recipe.preset("exact")).items()}
    attacked = Alignment().apply(half, base=found.base, knowledge=found.knowledge)
    assert all(torch.equal(attacked[name], found.tuned[name].to(torch.bfloat16)) for name in attacked)


def test_the_plan_does_the_same_without_writing_anything() -> None:
    found = scene("llama")
    release = found.protect(Recipe.preset("exact"))
    before = {name: tensor.clone() for name, tensor in release.items()}
    plan = Alignment().solve(release, base=found.base, layout=found.layout).plan
    assert all(torch.equal(release[name], before[name]) for name in release)
    assert apart(flat(found.tuned), flat(act(plan, release))) == 0


def test_one_pass_is_enough_for_what_does_not_round() -> None:
    found = scene("llama")
    attacked = Alignment(passes=1).apply(
        found.protect(Recipe.preset("exact")), base=found.base, knowledge=found.knowledge
    )
    assert all(torch.equal(attacked[name], found.tuned[name]) for name in attacked)


def test_dead_units_are_no_obstacle() -> None:
    """A unit whose weights are all zero shows nothing; the others are found."""
    found = scene("llama")
    name = "model.layers.0.mlp.up_proj.weight"
    tuned, base = dict(found.tuned), dict(found.base)
    for state in (tuned, base):
        state[name] = state[name].clone()
        state[name][3] = 0.0
    attacked = Alignment().apply(tuned, base=base, knowledge=found.knowledge)
    assert all(torch.equal(attacked[other], tuned[other]) for other in attacked)


def test_it_says_what_it_lacks() -> None:
    found = scene("llama")
    release = dict(found.tuned)
    with pytest.raises(AttackError, match="Alignment to the base needs architecture, which was not given"):
        Alignment().apply(release, base=found.base, knowledge=Knowledge())
    with pytest.raises(AttackError, match=r"the base has a tensor 'lm_head.weight' and the release has none"):
        Alignment().apply(
            {n: t for n, t in release.items() if n != "lm_head.weight"}, base=found.base, knowledge=found.knowledge
        )
    wide = {**found.base, "lm_head.weight": torch.zeros(62, 32)}
    with pytest.raises(AttackError, match=r"'lm_head.weight' has shape \(61, 32\) in the release and \(62, 32\)"):
        Alignment().apply(release, base=wide, knowledge=found.knowledge)
    broken = {**release, "lm_head.weight": torch.full((61, 32), torch.nan)}
    with pytest.raises(AttackError, match="'lm_head.weight' of the release holds NaN"):
        Alignment().apply(broken, base=found.base, knowledge=found.knowledge)
    with pytest.raises(AttackError, match="passes is 0"):
        Alignment(passes=0)


def test_an_architecture_without_symmetries_is_left_alone() -> None:
    found = scene("llama")
    attacked = Alignment().apply(found.tuned, base=found.base, knowledge=Knowledge(layout=Layout((), (), (), {})))
    assert all(torch.equal(attacked[name], found.tuned[name]) for name in attacked)
