"""Rules that shrink a configuration to a miniature with the same flags.

Sizes are chosen all different, so that on the miniature an axis tells by its length alone what it runs over. Ratios
that change the structure are kept: grouped-query heads stay grouped, one layer of every layer type stays, partial
rotary stays partial, a size that equals the hidden size goes on doing so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergeguard_hub.architecture.keep_layers import LAYER_COUNTS, STEPS, THRESHOLDS, KeptLayers
from mergeguard_hub.architecture.small_sizes import (
    AT_MOST,
    AT_MOST_TWO,
    EXPERT_COUNTS,
    HEAD_SIZE_KEYS,
    HEAD_SIZES,
    HEADS,
    HIDDEN,
    HIDDEN_KEYS,
    KV_KEYS,
    QUERY_HEADS,
    SAME_OR_OWN,
    SIZES,
    TOP_K,
)

ROPE_KEYS = frozenset(("rope_parameters", "rope_scaling"))


def scale_down(config: Mapping[str, Any], *, tower: int = 0, square: bool = False) -> dict[str, Any]:
    """Return the configuration with small sizes; nested configurations become towers of their own hidden size.

    Args:
        config: with every default filled in.
        tower: number of the tower, which chooses its hidden size.
        square: make all heads together as wide as the hidden size, for classes that know no other way.
    """
    small: dict[str, Any] = {}
    layers = KeptLayers.of(config)
    for key, value in config.items():
        if isinstance(value, Mapping) and _is_config(key, value):
            tower += 1
            small[key] = scale_down(value, tower=tower, square=square)
        else:
            small[key] = _scaled(key, value, config, layers, tower)
    if "qk_rope_head_dim" in config and config.get("kv_lora_rank") and "head_dim" in config:
        small["head_dim"] = small["qk_rope_head_dim"]
    for key in ("head_dim", "d_head") if square and not config.get("kv_lora_rank") else ():
        if small.get(key):
            small[key] = HIDDEN[tower % len(HIDDEN)] // HEADS[tower % len(HIDDEN)]
    _fit_state_space(config, small, tower % len(HIDDEN))
    return {key: value for key, value in small.items() if not (key == "head_dim" and value is None)}


def _is_config(key: str, value: Mapping[str, Any]) -> bool:
    """A nested configuration says so, or names its model type."""
    return (key.endswith("_config") and key != "per_layer_config") or "model_type" in value


def _scaled(key: str, value: Any, config: Mapping[str, Any], layers: KeptLayers, tower: int) -> Any:
    """Return one setting of the miniature."""
    if value is None:
        return _filled(key, config, tower)
    if key in ROPE_KEYS and isinstance(value, Mapping):
        return _plain_rope(value)
    if isinstance(value, Mapping):
        found = layers.overrides(value)
        if found is None:
            return value
        return {
            at: {k: _scaled(k, v, {**config, **each}, layers, tower) for k, v in each.items()}
            for at, each in found.items()
        }
    if isinstance(value, list):
        return _scaled_list(key, value, config, layers, tower)
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return _scaled_number(key, value, config, layers, tower)


def _filled(key: str, config: Mapping[str, Any], tower: int) -> Any:
    """Fill in what a default may leave open and a class cannot run without."""
    if key in TOP_K:
        return 2
    if key in EXPERT_COUNTS and "moe_intermediate_size" in config:
        return SIZES[key]
    if key == "head_dim" and not any(config.get(other) for other in ("kv_lora_rank", "expand", "mamba_expand")):
        return HEAD_SIZES[tower % len(HIDDEN)]
    if key == "default_language" and config.get("languages"):
        return config["languages"][0]
    return HEADS[tower % len(HIDDEN)] if key == "num_key_value_heads" and "num_attention_heads" in config else None


def _scaled_list(key: str, value: list[Any], config: Mapping[str, Any], layers: KeptLayers, tower: int) -> list[Any]:
    if all(isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list) for entry in value) and value:
        return [[entry[0], max(1, len(layers) // max(1, len(entry[0])))] for entry in value]  # pattern, repeats
    found = layers.members(key, value)
    if found is not None:
        return found
    found = layers.per_layer(value)
    if found is None:
        return value
    name = key.removesuffix("_per_layer")
    flags = all(isinstance(entry, bool) or not isinstance(entry, int) or entry < 3 for entry in found)
    return found if flags else [_scaled(name, entry, config, layers, tower) for entry in found]


def _scaled_number(key: str, value: int, config: Mapping[str, Any], layers: KeptLayers, tower: int) -> int:
    at = tower % len(HIDDEN)
    full_hidden = next((config[k] for k in HIDDEN_KEYS if isinstance(config.get(k), int)), None)
    if key.endswith(("token_id", "token_index")):
        return min(value, 3)
    if key in HIDDEN_KEYS or (key in SAME_OR_OWN and value == full_hidden):
        return HIDDEN[at]
    if key in QUERY_HEADS or key in HEAD_SIZE_KEYS:
        return HEADS[at] if key in QUERY_HEADS else HEAD_SIZES[at]
    if key in LAYER_COUNTS:
        return len(layers)
    if key in THRESHOLDS:
        return layers.below(value)
    if key == "moe_layer_end_index":
        return len(layers) - 1
    if key in KV_KEYS:
        heads = next((config[k] for k in QUERY_HEADS if isinstance(config.get(k), int)), value)
        return HEADS[at] if value == heads else 1 if value == 1 else HEADS[at] // 2
    if key in AT_MOST_TWO or key in TOP_K or key.endswith(STEPS):
        return min(value, 2)
    if key.endswith("_offset"):
        return min(value, 1)
    if key in AT_MOST:
        return min(value, AT_MOST[key])
    return SAME_OR_OWN.get(key, SIZES.get(key, value))


def _fit_state_space(config: Mapping[str, Any], small: dict[str, Any], tower: int) -> None:
    """Keep heads times head size equal to the inner width of a state-space layer, which classes insist on."""
    expand = next((config[key] for key in ("mamba_expand", "expand") if isinstance(config.get(key), int)), None)
    for heads, size in STATE_SPACE_HEADS:
        if expand is not None and isinstance(config.get(heads), int) and size in config:
            inner = small.get("mamba_d_ssm") or expand * HIDDEN[tower]
            small[size] = inner // small[heads]
    if isinstance(config.get("attention_hidden_size"), int) and "attention_head_dim" in config:
        small["attention_head_dim"] = small["attention_hidden_size"] // HEADS[tower]


STATE_SPACE_HEADS: tuple[tuple[str, str], ...] = (
    ("mamba_n_heads", "mamba_d_head"),
    ("mamba_num_heads", "mamba_head_dim"),
    ("n_mamba_heads", "mamba_headdim"),
    ("num_heads", "head_dim"),
)


def _plain_rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    """Keep which dimensions rotate, drop how frequencies are stretched: all frequencies commute with the same group."""
    if any(isinstance(value, Mapping) for value in rope.values()):
        return {k: _plain_rope(v) if isinstance(v, Mapping) else v for k, v in rope.items()}
    kept = {
        key: rope[key]
        for key in ("partial_rotary_factor", "rope_theta", "llama_4_scaling_beta")
        if rope.get(key) is not None
    }
    if "original_max_position_embeddings" in rope:
        kept["original_max_position_embeddings"] = SIZES["max_position_embeddings"]
    if "mrope_section" in rope:
        kept["mrope_section"] = [2, 3, 3]
    return {"rope_theta": 10000.0, **kept, "rope_type": "default"}
