"""The sizes of a miniature, by configuration key."""

from __future__ import annotations

# One per tower, so that a reading proved with the counts of one tower cannot be taken for another's.
HIDDEN = (96, 128, 120, 144)
HEADS = (4, 8, 6, 12)
HEAD_SIZES = (16, 24, 32, 40)
HIDDEN_KEYS: tuple[str, ...] = (
    "hidden_size",
    "d_model",
    "n_embd",
    "embed_dim",
    "dim",
    "model_dim",
    "embedding_dim",
    "emb_dim",
)
SIZES: dict[str, int] = {
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "ffn_hidden_size", "mlp_dim", "ffn_size"), 112),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "dense_intermediate_size", "intermediate_size_mlp"), 112),
    **dict.fromkeys(("dim_ff", "dff", "d_inner", "feed_forward_size", "block_ff_dim"), 112),
    **dict.fromkeys(("moe_intermediate_size", "expert_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_dim"), 40),
    "expert_ffn_hidden_size": 40,
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size"), 56),
    **dict.fromkeys(("shared_experts_intermediate_size", "moe_shared_expert_intermediate_size"), 56),
    **dict.fromkeys(("vocab_size", "text_vocab_size", "vocab_size_per_layer_input", "unpadded_vocab_size"), 131),
    **dict.fromkeys(("decoder_vocab_size", "audio_vocab_size", "n_words", "encoder_hash_byte_group_vocab"), 131),
    **dict.fromkeys(("pronunciation_vocab_size", "shape_vocab_size"), 67),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_target_positions", "seq_length"), 62),
    **dict.fromkeys(("max_seq_len", "max_source_positions", "original_max_position_embeddings", "context_length"), 62),
    **dict.fromkeys(("decoder_attention_heads", "num_decoder_attention_heads", "swa_num_attention_heads"), 8),
    **dict.fromkeys(("global_head_dim", "swa_head_dim"), 32),
    **dict.fromkeys(("linear_num_heads", "swa_num_key_value_heads"), 4),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 6),
    **dict.fromkeys(("sliding_window", "attention_window_size", "attention_chunk_size", "local_attention"), 6),
    **dict.fromkeys(("sliding_window_size", "window_size", "keep_window_size", "local_attention_window_len"), 6),
    **dict.fromkeys(("q_lora_rank", "qk_latent_dim"), 36),
    **dict.fromkeys(("o_lora_rank", "router_hidden_size"), 28),
    **dict.fromkeys(("rotary_dim", "qk_rope_head_dim"), 8),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 10),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 8),
    **dict.fromkeys(("time_step_rank", "mamba_dt_rank"), 6),
    **dict.fromkeys(("mamba_d_ssm", "attention_hidden_size"), 192),
    **dict.fromkeys(("linear_key_head_dim", "linear_head_dim"), 10),
    **dict.fromkeys(("laurel_rank", "adapter_rank", "gated_norm_rank", "hc_lowrank"), 14),
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 12,
    "qk_head_dim": 20,
    "v_head_dim": 14,
    "index_head_dim": 16,
    "index_n_heads": 2,
    "index_topk": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 18,
    "image_size": 16,
    "patch_size": 4,
    "sample_size": 8,
    "type_vocab_size": 2,
    "relative_attention_num_buckets": 8,
    "position_bias_num_buckets": 8,
    "hidden_size_per_layer_input": 12,
    "projection_dim": 28,
    "ngram_vocab_size_base": 67,
    "backbone_hidden_size": 104,
    "codebook_size": 64,
}
SAME_OR_OWN: dict[str, int] = {  # as wide as the hidden size where the full configuration has them so
    **dict.fromkeys(("embedding_size", "input_embedding_size", "word_embed_proj_dim", "ple_embed_dim"), 44),
    "output_embedding_size": 52,
    "lru_width": 88,
    "pronunciation_embed_dim": 32,
    "shape_embed_dim": 36,
}
AT_MOST_TWO: tuple[str, ...] = (
    *("n_group", "topk_group", "num_expert_group", "n_groups", "mamba_n_groups", "mamba_ngroups", "o_groups"),
    *("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "zero_expert_num", "hc_mult", "hc_count"),
)
AT_MOST: dict[str, int] = {
    **dict.fromkeys(("chunk_size", "mamba_chunk_size", "block_size", "index_block_size"), 4),
    **dict.fromkeys(("num_kv_shared_layers", "num_nextn_predict_layers"), 1),
    **dict.fromkeys(("d_rel", "rel_extent", "heads_per_ngram"), 4),
    **dict.fromkeys(("prompt_length", "prompt_types", "segment_types", "split_ngram_parts"), 8),
    "make_ngram_vocab_size_divisible_by": 8,
}
QUERY_HEADS: tuple[str, ...] = (
    *("num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads", "encoder_attention_heads"),
    "num_encoder_attention_heads",
)
HEAD_SIZE_KEYS: tuple[str, ...] = ("head_dim", "d_kv", "kv_channels", "attention_head_size", "dim_head", "d_head")
KV_KEYS: tuple[str, ...] = (
    *("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "num_global_key_value_heads"),
    *("kv_n_heads", "num_query_groups"),
)
EXPERT_COUNTS: tuple[str, ...] = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
TOP_K: tuple[str, ...] = (
    *("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts", "moe_k"),
)
