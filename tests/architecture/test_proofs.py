"""Every tiny family: exactly what the algebra allows is proved, and the rest is refused."""

from __future__ import annotations

import pytest

from mergeguard_hub.architecture import coverage, lay_out
from tests import tiny
from tests.architecture.expected import EXPECTED
from tests.architecture.miniatures import miniature, names_of, proof


def test_every_family_is_listed() -> None:
    assert set(EXPECTED) == set(tiny.FAMILIES)


@pytest.mark.parametrize("family", EXPECTED)
def test_what_is_proved(family: str) -> None:
    found = proof(family)
    claims = {place: proved.claims for place, proved in found.proved.items()}
    assert claims | dict.fromkeys(found.refused, frozenset()) == EXPECTED[family]


@pytest.mark.parametrize("family", EXPECTED)
def test_proofs_are_in_float64_and_far_below_the_tolerance(family: str) -> None:
    found = proof(family)
    assert found.dtype == "float64"
    assert max(proved.error for proved in found.proved.values()) < 1e-12


@pytest.mark.parametrize("family", EXPECTED)
def test_the_proved_spaces_reach_most_weights(family: str) -> None:
    names = names_of(miniature(family))
    layout = lay_out(names, proof(family))
    inside = {"query_key", "value_output", "query_heads", "key_value_heads", "hidden_units"}
    moved = frozenset(name for space in layout.spaces if space.kind in inside for name in space.tensors)
    assert coverage(names, moved)[0] >= (0.8 if family != "unet" else 0.5)


@pytest.mark.parametrize(
    ("family", "place", "reading"),
    [
        ("llama", ("model.layers.*.self_attn", "query_key"), "head_dim, rotary halves, all"),
        ("gpt2", ("transformer.h.*.attn", "query_key"), "stacked, width / n_head, free"),
        (
            "gpt_neox",
            ("gpt_neox.layers.*.attention", "query_key"),
            "grouped, width / num_attention_heads, rotary halves, rope_parameters.partial_rotary_factor",
        ),
        ("phi3", ("model.layers.*.mlp", "units"), "gate first, axis 0"),
        ("unet", ("mid_block.attentions.*.transformer_blocks.*.ff", "units"), "up first, axis 0"),
        ("gemma2", ("model.layers.*.mlp", "units"), "gate beside up, axis 0"),
        ("flan_t5", ("encoder.final_layer_norm", "norm"), "read by cross-attentions' keys and values"),
        (
            "flan_t5",
            ("decoder.block.*.layer.*.layer_norm", "norm"),
            "read by everything but cross-attentions' keys and values",
        ),
        (
            "clip",
            ("vision_model.encoder.layers.*.self_attn", "heads"),
            "width / vision_config.num_attention_heads",
        ),
    ],
)
def test_the_reading_is_the_true_one(family: str, place: tuple[str, str], reading: str) -> None:
    assert proof(family).proved[place].reading == reading
