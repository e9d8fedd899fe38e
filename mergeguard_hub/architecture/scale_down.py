"""Rules that shrink a configuration to a miniature with the same flags.

Sizes are chosen all different, so that on the miniature an axis tells by its length alone what it runs over. Ratios
that change the structure are kept: grouped-query heads stay grouped, one layer of every layer type stays, partial
rotary stays partial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HIDDEN = (96, 120, 72, 144)  # one per tower; every one divides by 4 heads into an even head size
SIZES: dict[str, int] = {
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size", "mlp_dim", "ffn_size"), 112),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "dense_intermediate_size", "intermediate_size_mlp"), 112),
    **dict.fromkeys(("moe_intermediate_size", "expert_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_dim"), 40),
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size"), 56),
    **dict.fromkeys(("vocab_size", "text_vocab_size", "vocab_size_per_layer_input"), 131),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_target_positions", "seq_length"), 62),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("head_dim", "d_kv", "global_head_dim", "kv_channels", "attention_head_size"), 16),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 6),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group"), 2),
    **dict.fromkeys(("sliding_window", "attention_window_size", "attention_chunk_size", "local_attention"), 6),
    **dict.fromkeys(("q_lora_rank", "qk_latent_dim"), 36),
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 20,
    "v_head_dim": 14,
    "first_k_dense_replace": 1,
    "image_size": 16,
    "patch_size": 4,
    "sample_size": 8,
    "type_vocab_size": 2,
    "relative_attention_num_buckets": 8,
    "hidden_size_per_layer_input": 12,
    "projection_dim": 28,
}
LAYERS = frozenset(
    ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers", "decoder_layers", "num_decoder_layers")
)
HIDDEN_KEYS = frozenset(("hidden_size", "d_model", "n_embd", "embed_dim", "dim", "model_dim", "word_embed_proj_dim"))
KV_KEYS = frozenset(
    ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "num_global_key_value_heads")
)
TOP_K = frozenset(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts", "moe_k"))
LAYER_LISTS = frozenset(("layer_types", "layers_block_type", "mlp_layer_types", "block_types", "attention_types"))
ROPE_KEYS = frozenset(("rope_parameters", "rope_scaling"))


def scale_down(config: Mapping[str, Any], *, tower: int = 0) -> dict[str, Any]:
    """Return the configuration with small sizes; nested configurations become towers of their own hidden size."""
    small: dict[str, Any] = {}
    layers = _layer_count(config)
    for key, value in config.items():
        if isinstance(value, Mapping) and key.endswith("_config"):
            tower += 1
            small[key] = scale_down(value, tower=tower)
        else:
            small[key] = _scaled(key, value, config, layers, tower)
    if "qk_rope_head_dim" in config and config.get("kv_lora_rank"):
        small["head_dim"] = small["qk_rope_head_dim"] if "head_dim" in config else None
    return {key: value for key, value in small.items() if not (key == "head_dim" and value is None)}


def _layer_count(config: Mapping[str, Any]) -> int:
    """Two layers, or as many as it takes to have one of every kind."""
    kinds = [tuple(dict.fromkeys(config[key])) for key in LAYER_LISTS if isinstance(config.get(key), list)]
    steps = [
        v for k, v in config.items() if isinstance(v, int) and k.endswith(("_interval", "_pattern", "_period", "_step"))
    ]
    return max([2, *(len(kind) for kind in kinds), *(4 for step in steps if step > 1)])


def _scaled(key: str, value: Any, config: Mapping[str, Any], layers: int, tower: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if key in LAYER_LISTS and isinstance(value, list):
        kinds = list(dict.fromkeys(value))
        return (kinds * layers)[:layers] if len(kinds) < layers else kinds
    if key in ROPE_KEYS and isinstance(value, Mapping):
        return _plain_rope(value, config)
    if key.endswith("token_id"):
        return min(value, 3) if isinstance(value, int) else value
    if not isinstance(value, int):
        return value
    if key in HIDDEN_KEYS:
        return HIDDEN[tower % len(HIDDEN)]
    if key in LAYERS:
        return layers
    if key in KV_KEYS:
        heads = next((config[k] for k in ("num_attention_heads", "n_head", "num_heads") if k in config), value)
        return 4 if value == heads else 1 if value == 1 else 2
    if key in TOP_K:
        return min(value, 2)
    if key.endswith(("_interval", "_pattern", "_period", "_step")):
        return min(value, 2)
    return (
        min(value, SIZES[key]) if key in ("n_group", "topk_group", "first_k_dense_replace") else SIZES.get(key, value)
    )


def _plain_rope(rope: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Keep which dimensions rotate, drop how frequencies are stretched: every frequency commutes with the same group."""
    if any(isinstance(value, Mapping) for value in rope.values()):
        return {k: _plain_rope(v, config) if isinstance(v, Mapping) else v for k, v in rope.items()}
    kept = {key: rope[key] for key in ("partial_rotary_factor", "rope_theta") if key in rope}
    if "mrope_section" in rope:
        kept["mrope_section"] = [2, 3, 3]
    return {"rope_theta": 10000.0, **kept, "rope_type": "default"}
