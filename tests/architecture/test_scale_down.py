"""Scaling down keeps flags and ratios and makes all sizes different."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from mergeguard_hub.architecture.keep_layers import KeptLayers
from mergeguard_hub.architecture.scale_down import scale_down
from mergeguard_hub.errors import ArchitectureError


def small(kind: str, **settings: Any) -> dict[str, Any]:
    return scale_down(transformers.CONFIG_MAPPING[kind](**settings).to_dict())


@pytest.mark.parametrize(
    ("heads", "kv_heads", "grouping"), [(32, 32, "one to one"), (32, 8, "grouped"), (32, 1, "all share one")]
)
def test_grouping_of_heads_is_kept(heads: int, kv_heads: int, grouping: str) -> None:
    config = small("llama", num_attention_heads=heads, num_key_value_heads=kv_heads)
    queries, keys = config["num_attention_heads"], config["num_key_value_heads"]
    kept = "one to one" if keys == queries else "all share one" if keys == 1 else "grouped"
    assert kept == grouping
    assert queries % keys == 0


@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral", "gemma2"])
def test_all_sizes_differ(kind: str) -> None:
    config = small(kind, num_key_value_heads=2)
    heads, kv_heads, head_dim = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    sizes = [config[key] for key in ("hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings")]
    sizes += [heads * head_dim, kv_heads * head_dim, head_dim, heads, kv_heads]
    assert len(set(sizes)) == len(sizes)


def test_flags_stay_as_they_are() -> None:
    flags = {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "hidden_act": "relu"}
    assert {key: small("llama", **flags)[key] for key in flags} == flags


def test_towers_differ_in_width_and_in_heads() -> None:
    config = small("clip")
    text, vision = config["text_config"], config["vision_config"]
    assert text["hidden_size"] != vision["hidden_size"]
    assert text["num_attention_heads"] != vision["num_attention_heads"]


def test_one_layer_of_every_kind_is_kept() -> None:
    config = small("gemma3_text")
    assert sorted(set(config["layer_types"])) == ["full_attention", "sliding_attention"]
    assert config["num_hidden_layers"] == len(config["layer_types"])


def test_a_threshold_on_layer_numbers_keeps_a_layer_on_either_side() -> None:
    config = small("deepseek_v3")
    assert config["first_k_dense_replace"] == 1
    assert config["num_hidden_layers"] == 2


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"num_hidden_layers": 4}, (0, 3)),
        ({"num_hidden_layers": 4, "layer_types": ["a", "a", "b", "a"]}, (0, 2)),
        ({"num_hidden_layers": 5, "cross_attention_layers": [3]}, (0, 3)),
        ({"num_hidden_layers": 5, "first_k_dense_replace": 2}, (0, 2)),
        ({"num_hidden_layers": 6, "per_layer_config": {"05": {"head_dim": 512}}}, (0, 5)),
        ({"num_hidden_layers": 6, "id2label": {"0": "A", "1": "B"}}, (0, 5)),
        ({"num_hidden_layers": 8, "attn_layer_period": 4}, (0, 5, 6, 7)),
    ],
)
def test_which_layers_are_kept(config: dict[str, Any], kept: tuple[int, ...]) -> None:
    assert KeptLayers.of(config).at == kept


def test_more_layers_than_any_model_has_are_not_looked_at() -> None:
    with pytest.raises(ArchitectureError, match="1000000000 layers are more than any model has"):
        scale_down({"num_hidden_layers": 10**9})


def test_lists_of_layer_numbers_follow_the_kept_layers() -> None:
    config = {"num_hidden_layers": 5, "hidden_size": 512, "cross_attention_layers": [3], "model_type": "x"}
    assert scale_down(config)["cross_attention_layers"] == [1]


def test_stretched_frequencies_are_dropped_and_partial_rotation_is_kept() -> None:
    rope = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 5e5, "partial_rotary_factor": 0.25}
    kept = scale_down({"rope_parameters": rope})["rope_parameters"]
    assert kept == {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.25}


def test_a_size_that_equals_the_hidden_size_goes_on_doing_so() -> None:
    same = scale_down({"hidden_size": 512, "embedding_size": 512})
    other = scale_down({"hidden_size": 512, "embedding_size": 128})
    assert same["embedding_size"] == same["hidden_size"]
    assert other["embedding_size"] != other["hidden_size"]
