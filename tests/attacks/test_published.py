"""Published and partial attacks: what each undoes, what it does not, and that none looks at what it must not see."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from mergeguard_hub.attacks import (
    ATTACKS,
    MERGE_ATTACKS,
    ActivationMatching,
    Aga,
    Canonicalisation,
    Knowledge,
    NormRatio,
    Procrustes,
    WeightMatching,
    activations_on,
)
from mergeguard_hub.errors import AttackError
from mergeguard_hub.protection import (
    HeadMix,
    HeadScaling,
    Recipe,
    ResidualShuffle,
    Stage,
    UnitRearrangement,
    UnitScaling,
)
from tests import tiny
from tests.attacks.scenes import Scene, apart, average, flat, scene


def _knowledge(found: Scene) -> Knowledge:
    """Everything that any attack may need."""
    batches: list[dict[str, Any]] = [tiny.example_inputs(found.model, seed=seed, batch=8) for seed in (1, 2)]
    return Knowledge(found.layout, found.partner, activations_on(found.load, batches, found.layout))


def _left(name: str, family: str, *stages: Stage) -> float:
    """How far the merge of the attacked release is from the clean merge, relative to what was between them before."""
    found = scene(family)
    release = found.protect(Recipe(stages))
    attack = ATTACKS[name]()
    clean = average(found.tuned, found.partner)
    attacked = attack.apply(release, base=found.base, knowledge=_knowledge(found))
    before = apart(flat(clean), flat(average(release, found.partner)))
    return apart(flat(clean), flat(average(attacked, found.partner))) / before


UNDONE = [
    ("aga", "vit", UnitRearrangement()),
    ("aga", "vit", HeadMix(kind="invertible")),
    ("aga", "gpt2", HeadScaling()),
    ("norm_ratio", "llama", UnitScaling(sign=False)),
    ("norm_ratio", "llama", HeadScaling()),
    ("norm_ratio", "vit", HeadScaling()),
    ("procrustes", "vit", HeadMix(kind="orthogonal")),
    ("procrustes", "llama", HeadMix(kind="orthogonal")),
    ("weight_matching", "llama", UnitRearrangement()),
    ("weight_matching", "gpt2", UnitRearrangement()),
    ("activation_matching", "vit", UnitRearrangement()),
    ("activation_matching", "llama", UnitRearrangement()),
]
NOT_UNDONE = [
    ("aga", "llama", ResidualShuffle()),
    ("norm_ratio", "vit", HeadMix(kind="orthogonal")),
    ("procrustes", "vit", HeadScaling()),
    ("procrustes", "llama", UnitRearrangement()),
    ("weight_matching", "llama", HeadMix(kind="orthogonal")),
    ("activation_matching", "llama", UnitScaling()),
]


@pytest.mark.parametrize(("name", "family", "stage"), UNDONE, ids=lambda value: str(value).partition("(")[0])
def test_what_it_undoes(name: str, family: str, stage: Stage) -> None:
    assert _left(name, family, stage) < 0.05


@pytest.mark.parametrize(("name", "family", "stage"), NOT_UNDONE, ids=lambda value: str(value).partition("(")[0])
def test_what_it_does_not_undo(name: str, family: str, stage: Stage) -> None:
    assert _left(name, family, stage) > 0.3


def test_aga_leaves_the_symmetry_group_where_queries_meet_rotary_keys() -> None:
    """Solved apart, queries and keys no longer belong together; alignment keeps the function, AGA does not quite."""
    found = scene("llama")
    attacked = Aga().apply(found.tuned, base=found.base, knowledge=found.knowledge)
    assert 1e-4 < apart(found.outputs(found.tuned), found.outputs(attacked)) < 0.2


@pytest.mark.parametrize("stage", [HeadMix(kind="invertible"), HeadScaling()], ids=lambda s: type(s).__name__)
def test_canonical_forms_of_one_function_are_one(stage: Stage) -> None:
    """The canonical form of the release is that of the original; nobody needs the base to find it."""
    found = scene("vit")
    forms = [
        flat(Canonicalisation().apply(state, base={}, knowledge=found.knowledge))
        for state in (found.tuned, found.protect(Recipe([stage])))
    ]
    assert apart(*forms) < 1e-3
    assert apart(flat(found.tuned), forms[0]) > 0.1


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_canonical_forms_compute_the_same(family: str) -> None:
    found = scene(family)
    form = Canonicalisation().apply(found.tuned, base={}, knowledge=found.knowledge)
    assert apart(found.outputs(found.tuned), found.outputs(form)) < 1e-4


@pytest.mark.parametrize("attack", [Procrustes, NormRatio, WeightMatching, ActivationMatching])
def test_attacks_inside_the_group_keep_the_function(attack: Any) -> None:
    found = scene("llama")
    attacked = attack().apply(found.protect(Recipe.preset("exact")), base=found.base, knowledge=_knowledge(found))
    assert apart(found.outputs(found.tuned), found.outputs(attacked)) < 1e-4


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_returns_a_model_of_the_same_layout_and_leaves_its_input_alone(name: str) -> None:
    found = scene("vit")
    release = found.protect(Recipe.preset("params"))
    before = {tensor: value.clone() for tensor, value in release.items()}
    attacked = ATTACKS[name]().apply(release, base=found.base, knowledge=_knowledge(found))
    assert {tensor: (value.shape, value.dtype) for tensor, value in attacked.items()} == {
        tensor: (value.shape, value.dtype) for tensor, value in release.items()
    }
    assert all(torch.equal(release[tensor], before[tensor]) for tensor in release)
    assert all(attacked[tensor].data_ptr() != release[tensor].data_ptr() for tensor in release)
    again = ATTACKS[name]().apply(release, base=found.base, knowledge=_knowledge(found))
    assert all(torch.equal(attacked[tensor], again[tensor]) for tensor in attacked)


@pytest.mark.parametrize("table", [ATTACKS, MERGE_ATTACKS])
def test_every_entry_says_what_it_is(table: dict[str, Any]) -> None:
    for attack in table.values():
        assert attack.title
        assert attack.paper == "" or attack.paper.startswith("https://arxiv.org/abs/")
        assert attack.needs <= {"base", "architecture", "partner", "inputs", "merge", "score", "config"}
        assert attack() == attack(), "not a frozen dataclass of settings"
        assert len(inspect.signature(attack).parameters) <= 5


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs - {"base"}])
def test_what_is_missing_is_named(name: str) -> None:
    found = scene("vit")
    with pytest.raises(AttackError, match="needs .*, which was not given"):
        ATTACKS[name]().apply(found.tuned, base=found.base, knowledge=Knowledge())


def test_a_class_without_a_module_per_tensor_is_refused() -> None:
    found = scene("mixtral")
    read = activations_on(found.load, [tiny.example_inputs(found.model)], found.layout)
    with pytest.raises(AttackError, match="has no module that holds"):
        read(found.tuned)
