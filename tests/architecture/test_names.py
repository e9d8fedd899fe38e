"""Names as a tree, templates, and labelled settings."""

from __future__ import annotations

import pytest

from mergeguard_hub.architecture import Names
from mergeguard_hub.architecture.names import is_cross_attention, parent_of, template_of


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("model.layers.11.mlp.gate_proj.weight", "model.layers.*.mlp.gate_proj.weight"),
        ("model.layers.3.mlp.experts.17.w1.weight", "model.layers.*.mlp.experts.*.w1.weight"),
        ("0.weight", "*.weight"),
        ("net.2", "net.*"),
        ("conv1.weight", "conv1.weight"),
        ("layer_norm2.bias", "layer_norm2.bias"),
        ("lm_head.weight", "lm_head.weight"),
    ],
)
def test_templates_star_indices_and_nothing_else(name: str, template: str) -> None:
    assert template_of(name) == template


def test_parents_and_children() -> None:
    names = Names({"a.b.weight": (2, 3), "a.b.bias": (2,), "c": (1,)}, {})
    assert parent_of("a.b.weight") == "a.b"
    assert names.children["a"] == ("a.b.weight", "a.b.bias")
    assert names.weight("a", ("x", "b")) == "a.b.weight"
    assert names.bias("a.b.weight") == "a.b.bias"


def test_settings_keep_every_label_even_where_values_coincide() -> None:
    config = {"head_dim": 8, "text_config": {"head_dim": 8}, "per_layer_config": {"05": {"head_dim": 16}}, "on": True}
    names = Names({}, config)
    assert names.settings("head_dim") == {
        "head_dim": 8,
        "text_config.head_dim": 8,
        "per_layer_config.*.head_dim": 16,
    }
    assert names.settings("on") == {}


def test_layers_have_kinds_only_where_the_configuration_lists_different_ones() -> None:
    mixed = Names({}, {"layer_types": ["mamba", "attention"]})
    assert mixed.layer_kind("model.layers.1.self_attn") == "attention"
    assert mixed.layer_kind("model.layers.7.self_attn") is None
    assert mixed.layer_kind("model.norm") is None
    assert Names({}, {"layer_types": ["attention", "attention"]}).layer_kind("model.layers.1") is None


@pytest.mark.parametrize(
    ("name", "crosses"),
    [
        ("decoder.block.0.layer.1.EncDecAttention", True),
        ("model.decoder.layers.0.encoder_attn.k_proj.weight", True),
        ("bert.encoder.layer.0.crossattention.self", True),
        ("model.layers.0.self_attn", False),
        ("encoder.layer.0.attention.self", False),
    ],
)
def test_cross_attentions_are_told_by_name(name: str, crosses: bool) -> None:
    assert is_cross_attention(name) is crosses
