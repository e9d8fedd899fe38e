"""Tiny random models of every family that the tests protect, built on demand and never downloaded.

Sizes differ from one another (hidden 32, intermediate 56, vocabulary 61, grouped-query heads 4 over 2), so that a
transposed or mistaken dimension shows at once. Weights are drawn far wider than a fresh initialisation, so that every
one of them matters to the output: a stage that moved a weight wrongly cannot hide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

MATRIX_GAIN = 1.7  # standard deviation 1.7 / sqrt(fan in): 0.3 for the usual 32 inputs
VECTOR_STD = 0.2  # norms end up around 1 (or 0 where the class adds the 1 itself), biases around 0
TOKENS = 61

_DECODER: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
_ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_CLIP_TEXT: dict[str, Any] = {
    **_ENCODER,
    "vocab_size": TOKENS,
    "max_position_embeddings": 16,
    "bos_token_id": 1,
    "eos_token_id": TOKENS - 1,
    "pad_token_id": 0,
}


def draw(model: Any, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """Redraw every parameter of `model` in place, the same for the same seed, and put it in `dtype` and eval mode.

    Only parameters are cast: buffers such as rotary frequencies stay as `from_pretrained(dtype=...)` would leave them.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim < 2:
                parameter.add_(VECTOR_STD * noise)
            else:
                fan_in = math.prod(parameter.shape[1:]) if parameter.ndim == 4 else parameter.shape[-1]
                parameter.copy_(noise * MATRIX_GAIN / math.sqrt(fan_in))
            parameter.data = parameter.data.to(dtype)
    return model.eval()


def _build(
    model_class: str,
    config_class: str,
    settings: dict[str, Any],
    overrides: dict[str, Any],
    *,
    seed: int,
    dtype: torch.dtype,
) -> Any:
    config = getattr(transformers, config_class)(**{**settings, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, model_class)(config)
    return draw(model, seed=seed, dtype=dtype)


def llama(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Rotary, grouped-query, gated MLP, no biases."""
    return _build("LlamaForCausalLM", "LlamaConfig", _DECODER, overrides, seed=seed, dtype=dtype)


def mistral(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Like Llama, with a sliding window shorter than the example."""
    settings = {**_DECODER, "sliding_window": 4}
    return _build("MistralForCausalLM", "MistralConfig", settings, overrides, seed=seed, dtype=dtype)


def gemma2(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """`1 + w` norms before and after each block, soft caps, tied embeddings, head_dim other than hidden / heads."""
    settings = {
        **_DECODER,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 4,
        "tie_word_embeddings": True,
    }
    return _build("Gemma2ForCausalLM", "Gemma2Config", settings, overrides, seed=seed, dtype=dtype)


def qwen2(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Rotary with biases on q, k and v only."""
    return _build("Qwen2ForCausalLM", "Qwen2Config", _DECODER, overrides, seed=seed, dtype=dtype)


def qwen3(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Query-key norm, head_dim other than hidden / heads, tied embeddings."""
    settings = {**_DECODER, "head_dim": 16, "tie_word_embeddings": True}
    return _build("Qwen3ForCausalLM", "Qwen3Config", settings, overrides, seed=seed, dtype=dtype)


def phi3(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Fused `qkv_proj` and fused `gate_up_proj`."""
    settings = {**_DECODER, "original_max_position_embeddings": 64}
    return _build("Phi3ForCausalLM", "Phi3Config", settings, overrides, seed=seed, dtype=dtype)


def gpt2(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Learned positions, fused `c_attn`, Conv1D weights `[in, out]`, biases, tied embeddings."""
    settings = {
        "vocab_size": TOKENS,
        "n_embd": 32,
        "n_inner": 56,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return _build("GPT2LMHeadModel", "GPT2Config", settings, overrides, seed=seed, dtype=dtype)


def gpt_neox(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Fused `query_key_value` interleaved per head, partial rotary, attention and MLP in parallel, biases."""
    settings = {
        **{name: value for name, value in _DECODER.items() if name != "num_key_value_heads"},
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    }
    return _build("GPTNeoXForCausalLM", "GPTNeoXConfig", settings, overrides, seed=seed, dtype=dtype)


def mixtral(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Four experts, two per token; fused in memory, one by one on disk; the plain loop over them runs in any dtype."""
    settings = {
        **_DECODER,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": None,
        "experts_implementation": "eager",
    }
    return _build("MixtralForCausalLM", "MixtralConfig", settings, overrides, seed=seed, dtype=dtype)


def olmo2(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Norms after the blocks, query-key norm over the whole width."""
    return _build("Olmo2ForCausalLM", "Olmo2Config", _DECODER, overrides, seed=seed, dtype=dtype)


def flan_t5(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Encoder and decoder, relative position bias, gated GELU, no scaling of the attention scores."""
    settings = {
        "vocab_size": TOKENS,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 56,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    return _build("T5ForConditionalGeneration", "T5Config", settings, overrides, seed=seed, dtype=dtype)


def bert(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Post-norm encoder, biases everywhere, tied masked-language-model head."""
    settings = {**_ENCODER, "vocab_size": TOKENS, "max_position_embeddings": 64, "pad_token_id": 0}
    return _build("BertForMaskedLM", "BertConfig", settings, overrides, seed=seed, dtype=dtype)


def vit(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Image classifier on 16 x 16 grey pictures in patches of 4, three classes."""
    settings = {**_ENCODER, "image_size": 16, "patch_size": 4, "num_channels": 1, "num_labels": 3}
    return _build("ViTForImageClassification", "ViTConfig", settings, overrides, seed=seed, dtype=dtype)


def clip(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """Text and vision towers of different widths, projected to a common one."""
    settings = {
        "text_config": _CLIP_TEXT,
        "vision_config": {**_ENCODER, "hidden_size": 48, "image_size": 16, "patch_size": 4},
        "projection_dim": 24,
    }
    return _build("CLIPModel", "CLIPConfig", settings, overrides, seed=seed, dtype=dtype)


def clip_text(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """The text encoder of a Stable Diffusion 1.5 pipeline, scaled down."""
    return _build("CLIPTextModel", "CLIPTextConfig", _CLIP_TEXT, overrides, seed=seed, dtype=dtype)


def unet(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any) -> Any:
    """The UNet of Stable Diffusion 1.5, every dimension scaled down: blocks, GroupNorm, cross-attention, GEGLU."""
    from diffusers import UNet2DConditionModel

    settings: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (16, 32, 32),
        "layers_per_block": 2,
        "cross_attention_dim": 32,
        "attention_head_dim": 4,  # in SD 1.5 this setting is the number of heads
        "norm_num_groups": 8,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = UNet2DConditionModel(**{**settings, **overrides})
    return draw(model, seed=seed, dtype=dtype)


FAMILIES: dict[str, Callable[..., Any]] = {
    "llama": llama,
    "mistral": mistral,
    "gemma2": gemma2,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "phi3": phi3,
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "mixtral": mixtral,
    "olmo2": olmo2,
    "flan_t5": flan_t5,
    "bert": bert,
    "vit": vit,
    "clip": clip,
    "clip_text": clip_text,
    "unet": unet,
}


def example_inputs(model: Any, *, seed: int = 1, batch: int = 2, length: int = 11) -> dict[str, torch.Tensor]:
    """Return keyword arguments of `model.forward`, the same for the same seed, in the model's dtype."""
    generator = torch.Generator().manual_seed(seed)
    config, kind = model.config, type(model).__name__

    def tokens() -> torch.Tensor:
        return torch.randint(3, TOKENS - 1, (batch, length), generator=generator)

    def ended(text: torch.Tensor) -> torch.Tensor:
        """CLIP answers from the position of the end token."""
        text[:, -1] = TOKENS - 1
        return text

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, generator=generator).to(model.dtype)

    if "UNet2DCondition" in kind:
        size = config.sample_size
        return {
            "sample": noise(config.in_channels, size, size),
            "timestep": torch.tensor([17, 803])[:batch],
            "encoder_hidden_states": noise(7, config.cross_attention_dim),
        }
    if "ViT" in kind or "CLIPVision" in kind:
        return {"pixel_values": noise(config.num_channels, config.image_size, config.image_size)}
    if "CLIPText" in kind:
        return {"input_ids": ended(tokens())}
    if "CLIP" in kind:
        vision = config.vision_config
        pictures = noise(vision.num_channels, vision.image_size, vision.image_size)
        return {"input_ids": ended(tokens()), "pixel_values": pictures}
    if "T5" in kind:
        return {"input_ids": tokens(), "decoder_input_ids": tokens()}
    return {"input_ids": tokens()}


def outputs(model: Any, inputs: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """Return every floating tensor that `model` answers with, by its name in the output (caches left out)."""
    with torch.no_grad():
        answer = model(**(example_inputs(model) if inputs is None else inputs))
    return {
        name: value for name, value in answer.items() if isinstance(value, torch.Tensor) and value.is_floating_point()
    }


def save(model: Any, folder: Path, **options: Any) -> Path:
    """Save `model` with its own `save_pretrained` and return the folder."""
    model.save_pretrained(folder, **options)
    return folder


def load(model: Any, folder: Path, **options: Any) -> Any:
    """Load `folder` with the plain upstream class of `model`, in its dtype and eval mode, as a stranger would."""
    if "UNet2DCondition" in type(model).__name__:
        options = {"torch_dtype": model.dtype, **options}
    elif getattr(model.config, "_experts_implementation", None):
        options = {"experts_implementation": model.config._experts_implementation, **options}
    return type(model).from_pretrained(folder, **options).eval()
