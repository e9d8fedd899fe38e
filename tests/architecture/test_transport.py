"""A proof made on the miniature holds on a larger model, also where all its sizes coincide on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mergeguard_hub.architecture import Layout, Miniature, Names, coverage, lay_out, prove
from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.check import random_action
from mergeguard_hub.architecture.outputs import example_inputs, floats, relative
from mergeguard_hub.architecture.precision import WideFloats
from mergeguard_hub.architecture.space import CLAIMS
from tests import tiny
from tests.architecture.miniatures import config_of

SQUARE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 8,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "num_hidden_layers": 3,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": SQUARE,
    "qwen3": SQUARE,
    "phi3": {key: value for key, value in SQUARE.items() if key != "head_dim"},
    "olmo2": {key: value for key, value in SQUARE.items() if key != "head_dim"},
    "mixtral": {**SQUARE, "num_local_experts": 8},
    "gpt2": {"n_embd": 64, "n_inner": 64, "n_head": 8, "vocab_size": 64, "n_positions": 64, "n_layer": 3},
    "gpt_neox": {key: value for key, value in SQUARE.items() if key not in ("head_dim", "num_key_value_heads")},
    "flan_t5": {"d_model": 64, "d_ff": 64, "d_kv": 8, "num_heads": 8, "vocab_size": 64, "num_layers": 3},
    "bert": {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 8, "vocab_size": 64},
    "clip": {
        "text_config": {
            **tiny._CLIP_TEXT,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_attention_heads": 8,
            "vocab_size": 64,
        },
        "vision_config": {
            **tiny._ENCODER,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "image_size": 16,
            "patch_size": 4,
        },
        "projection_dim": 64,
    },
}


def moved(layout: Layout, names: Names, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Apply one random action of every proved kind to every space."""
    plan = Plan(dict(names.shapes))
    generator = np.random.default_rng(7)
    for space in layout.spaces:
        for claim in CLAIMS:
            if claim in space.claims:
                plan.add(space, random_action(space, claim, generator))
    return {name: plan.apply(name, state[plan.source.get(name, name)]) for name in state}


def answers(model: Any, state: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    loaded = type(model).from_pretrained(None, config=model.config, state_dict=dict(state), dtype=torch.float64).eval()
    with torch.no_grad(), WideFloats():
        return floats(loaded(**example_inputs(loaded)))


@pytest.mark.parametrize("family", MODELS)
def test_a_proof_holds_where_all_sizes_coincide(family: str, tmp_path: Path) -> None:
    model = tiny.FAMILIES[family](dtype=torch.float64, **MODELS[family])
    model.config._attn_implementation = "eager"
    state = load_file(tiny.save(model, tmp_path) / "model.safetensors")
    found = Miniature(config_of(model))
    names = Names({name: tuple(tensor.shape) for name, tensor in state.items()}, found.full_config)
    layout = lay_out(names, prove(found))
    assert coverage(names, frozenset(name for space in layout.spaces for name in space.tensors))[0] > 0.99
    after = moved(layout, names, {name: tensor.double() for name, tensor in state.items()})
    errors = [relative(a, b) for a, b in zip(answers(model, state), answers(model, after), strict=True)]
    assert max(errors) < 1e-9
    assert any(not torch.equal(after[name], state[name]) for name in state)


def test_places_keep_their_claims_on_the_larger_model(tmp_path: Path) -> None:
    model = tiny.llama(**SQUARE)
    found = Miniature(config_of(model))
    proof = prove(found)
    state = load_file(tiny.save(model, tmp_path) / "model.safetensors")
    layout = lay_out(Names({name: tuple(t.shape) for name, t in state.items()}, found.full_config), proof)
    assert layout.refused == {}
    assert len(layout.attentions) == len(layout.mlps) == 3
    assert sum(space.kind == "value_output" for space in layout.spaces) == 3 * 8


def test_a_renamed_tensor_is_left_alone_and_said_so() -> None:
    found = Miniature(config_of(tiny.llama()))
    shapes = {name.replace("mlp.", "feed."): tuple(tensor.shape) for name, tensor in found.state.items()}
    layout = lay_out(Names(shapes, found.config), prove(found))
    assert "were these weights renamed?" in layout.refused["model.layers.*.feed", "units"]
    assert not any(space.kind == "hidden_units" for space in layout.spaces)
