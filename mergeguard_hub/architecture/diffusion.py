"""Scaling down diffusers configurations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

CHANNELS = (16, 32, 48, 64)  # per level; each divides into 8 heads as well as into heads of size 8
SIZES: dict[str, int] = {
    "norm_num_groups": 8,
    "sample_size": 16,
    "cross_attention_dim": 20,
    "layers_per_block": 1,
    "encoder_hid_dim": 20,
    "projection_class_embeddings_input_dim": 68,
    "addition_time_embed_dim": 8,
    "num_layers": 2,
    "caption_channels": 20,
}


def scale_down_diffusion(cls: type[Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a small configuration of the same class with the same blocks and flags.

    Whether `attention_head_dim` counts heads or sizes them (diffusers uses both) is kept: it is 4 where it was one
    number, while levels have 16 to 64 channels, so the two readings never coincide on all levels.
    """
    full = dict(cls.load_config_defaults()) if hasattr(cls, "load_config_defaults") else _defaults(cls)
    full.update(config)
    small: dict[str, Any] = {}
    for key, value in full.items():
        if key == "block_out_channels":
            small[key] = list(CHANNELS[: len(value)])
        elif key in ("attention_head_dim", "num_attention_heads") and value is not None:
            small[key] = 4 if isinstance(value, int) else [2 * (i + 1) for i in range(len(value))]
        elif key == "transformer_layers_per_block" and isinstance(value, list):
            small[key] = [min(n, 1) for n in value]
        elif isinstance(value, int) and not isinstance(value, bool):
            small[key] = SIZES.get(key, value)
        else:
            small[key] = value
    return small


def _defaults(cls: type[Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
