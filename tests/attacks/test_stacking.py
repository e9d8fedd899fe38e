"""Merges that average no weights: stacked layers, and two models as the experts of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import MixtralForCausalLM

from mergeguard_hub.attacks import Candidate, Frankenmerge, Upcycling, Workshop
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.errors import AttackError
from tests import tiny

LAYERS = ("h.0", "h.2", "h.10")  # 10 comes after 2


def _models() -> list[dict[str, Tensor]]:
    names = [*(f"{layer}.w" for layer in LAYERS), "embed", "n"]
    return [{name: torch.full((1,), value) for name in names} for value in (0.0, 1.0, 2.0)]


def _from_partner(candidate: Candidate) -> list[str]:
    return [name for name, tensor in candidate.weights.items() if tensor.item() == 2.0]


def test_a_frankenmerge_by_hand() -> None:
    base, release, partner = _models()
    found = list(Frankenmerge(cuts=(0.4,)).candidates(Workshop(release, base, [partner])))
    assert [candidate.label for candidate in found] == [
        "1 of 3 layers from the release",
        "1 of 3 layers from the partner",
    ]
    assert _from_partner(found[0]) == ["h.2.w", "h.10.w"]
    assert _from_partner(found[1]) == ["h.0.w", "embed", "n"]


def test_cuts_that_are_the_same_are_tried_once() -> None:
    base, release, partner = _models()
    assert len(list(Frankenmerge(cuts=(0.01, 0.3, 0.99)).candidates(Workshop(release, base, [partner])))) == 4


def test_what_has_no_layers_cannot_be_stacked() -> None:
    one = {"embed": torch.ones(1)}
    with pytest.raises(AttackError, match="needs two layers, and the release has 0"):
        list(Frankenmerge().candidates(Workshop(one, one, [one])))
    with pytest.raises(AttackError, match=r"cuts is \(0\.0,\)"):
        Frankenmerge(cuts=(0.0,))


@pytest.fixture
def llamas(tmp_path: Path) -> list[ModelFolder]:
    """Two Llamas of other weights."""
    return [ModelFolder(tiny.save(tiny.llama(seed=seed), tmp_path / str(seed))) for seed in (0, 1)]


def _upcycled(base: ModelFolder, release: ModelFolder, partner: ModelFolder) -> list[Candidate]:
    config = base.components[""].config
    workshop = Workshop(release.tensors(), base.tensors(), [partner.tensors()], config=config)
    return list(Upcycling().candidates(workshop))


def test_two_equal_experts_compute_what_one_did(llamas: list[ModelFolder], tmp_path: Path) -> None:
    """The mixture of a model with itself is the model: its outputs are equal up to rounding."""
    one = llamas[0]
    expected = tiny.load(tiny.llama(), one.path)
    inputs = tiny.example_inputs(expected)
    for number, candidate in enumerate(_upcycled(one, one, one)):
        assert candidate.config is not None
        one.write_as(candidate.config, candidate.weights, tmp_path / f"mixture{number}")
        mixture = MixtralForCausalLM.from_pretrained(tmp_path / f"mixture{number}").eval()
        with torch.no_grad():
            assert torch.allclose(mixture(**inputs).logits, expected(**inputs).logits, atol=1e-5)


def test_experts_are_whole_and_the_rest_is_a_choice(llamas: list[ModelFolder]) -> None:
    release, partner = (folder.tensors() for folder in llamas)
    found = _upcycled(llamas[0], *llamas)
    assert [candidate.label for candidate in found] == [
        "other weights of the release",
        "other weights of the partner",
        "other weights of both, averaged",
    ]
    gate, embed = "model.layers.1.mlp.gate_proj.weight", "model.embed_tokens.weight"
    for candidate in found:
        experts = [
            candidate.weights[f"model.layers.1.block_sparse_moe.experts.{number}.w1.weight"] for number in (0, 1)
        ]
        assert torch.equal(experts[0], release[gate])
        assert torch.equal(experts[1], partner[gate])
        assert not any(".mlp." in name for name in candidate.weights)
    assert torch.equal(found[0].weights[embed], release[embed])
    assert torch.equal(found[1].weights[embed], partner[embed])
    assert torch.allclose(found[2].weights[embed], (release[embed] + partner[embed]) / 2)


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    one = ModelFolder(tiny.save(tiny.gpt2(), tmp_path / "gpt2"))
    with pytest.raises(AttackError, match="written for Llama's MLPs, and this is a 'gpt2'"):
        _upcycled(one, one, one)
    biased = {"model_type": "llama", "attention_bias": True}
    with pytest.raises(AttackError, match="attention has no biases"):
        list(Upcycling().candidates(Workshop(one.tensors(), one.tensors(), [one.tensors()], config=biased)))
    with pytest.raises(AttackError, match="needs config, which was not given"):
        list(Upcycling().candidates(Workshop(one.tensors(), one.tensors(), [one.tensors()])))
