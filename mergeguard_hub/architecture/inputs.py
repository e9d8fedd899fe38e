"""Fixed random inputs for a model, from what its forward declares."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mergeguard_hub.architecture.names import is_cross_attention

TOKENS = (2, 9)  # batch, length
CROSS_INPUTS: tuple[str, ...] = ("encoder_hidden_states", "encoder_outputs", "cross_attention_states")


def inputs_for(model: Any, declared: set[str]) -> dict[str, Any]:
    """Return keyword arguments for one forward pass; the same ones at every call.

    Args:
        model: a transformers model or a diffusers model.
        declared: names of its forward's parameters.
    """
    generator = torch.Generator().manual_seed(20260102)
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    if "timestep" in declared:
        return _denoiser(model, declared, generator, dtype)
    if {"sample", "sample_posterior"} <= declared:
        size = int(model.config.sample_size)
        return {
            "sample": _normal((2, model.config.in_channels, size, size), generator, dtype),
            "sample_posterior": False,
        }
    return _transformer(model, declared, generator, dtype)


def _normal(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def _denoiser(model: Any, declared: set[str], generator: torch.Generator, dtype: torch.dtype) -> dict[str, Any]:
    config = model.config
    size = int(config.sample_size)
    found: dict[str, Any] = {
        "sample": _normal((2, config.in_channels, size, size), generator, dtype),
        "timestep": torch.tensor([7, 431]),
    }
    if "encoder_hidden_states" in declared and getattr(config, "cross_attention_dim", None):
        width = config.cross_attention_dim
        width = width if isinstance(width, int) else width[0]
        found["encoder_hidden_states"] = _normal((2, 5, width), generator, dtype)
    if getattr(config, "addition_embed_type", None) == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        found["added_cond_kwargs"] = {
            "text_embeds": _normal((2, pooled), generator, dtype),
            "time_ids": torch.arange(12).reshape(2, 6).to(dtype),
        }
    return found


def _width_of_cross_attention(model: Any) -> int:
    """Return how wide the states are that cross-attentions read, 0 for a model without any."""
    for name, parameter in model.named_parameters():
        if is_cross_attention(name) and parameter.ndim == 2 and any(mark in name for mark in ("k_proj", "key")):
            return int(parameter.shape[1])
    return 0


def _transformer(model: Any, declared: set[str], generator: torch.Generator, dtype: torch.dtype) -> dict[str, Any]:
    config = model.config
    text = getattr(config, "text_config", None) or config
    found: dict[str, Any] = {}
    if model.main_input_name == "input_ids" or "input_ids" in declared:
        vocabulary = getattr(text, "vocab_size", 64)
        batch = TOKENS[0] * (getattr(text, "num_codebooks", None) or 1)
        found["input_ids"] = torch.randint(4, vocabulary, (batch, TOKENS[1]), generator=generator)
        end = getattr(text, "eos_token_id", None)
        if isinstance(end, int) and getattr(config, "model_type", "").startswith("clip"):
            # CLIP pools at the end token; 2 is its mark for old checkpoints that pool at the highest token instead.
            found["input_ids"][:, -1] = vocabulary - 1 if end == 2 else end
    if model.main_input_name == "pixel_values" or ("pixel_values" in declared and "logits_to_keep" not in declared):
        vision = getattr(config, "vision_config", None) or config
        size, channels = vision.image_size, getattr(vision, "num_channels", 3)
        height, width = (size, size) if isinstance(size, int) else size
        found["pixel_values"] = _normal((2, channels, height, width), generator, dtype)
    width = 0 if "decoder_input_ids" in declared else _width_of_cross_attention(model)
    read = next((key for key in CROSS_INPUTS if key in declared), None)
    if width and read is not None:
        states = _normal((2, 5, width), generator, dtype)
        found[read] = (states,) if read == "encoder_outputs" else states
    if "decoder_input_ids" in declared and getattr(config, "is_encoder_decoder", False):
        found["decoder_input_ids"] = torch.randint(4, getattr(text, "vocab_size", 64), TOKENS, generator=generator)
    if "use_cache" in declared:
        found["use_cache"] = False
    return found
