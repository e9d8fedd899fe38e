"""The three sets of hyper-parameters of Trap²: the objective, and how its authors trained with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mergeguard_hub.training.cells import Trap2

_VISION: Mapping[str, Any] = MappingProxyType(
    {
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-6,
        "weight_decay": 0.0,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 500,
        "max_grad_norm": 1.0,
        "per_device_train_batch_size": 32,
        "max_steps": 100_000,
    }
)

_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj", "o_proj")  # of CLIP, whose output is out_proj, and of ViT


@dataclass(frozen=True)
class Trap2Preset:
    """One of the papers' settings, as read in the authors' code (ml-postech/Trap2; arXiv 2601.21898).

    Attributes:
        objective: lambda, the scales and their weighting.
        arguments: keyword arguments of `transformers.TrainingArguments`; warmup_steps below 1 are a fraction.
            The authors stop early on the loss or accuracy of the model alone; nothing of theirs selects for bad merges.
        adapter: keyword arguments of `peft.LoraConfig`; empty for full fine-tuning. "vision_lora" names the projections
            of attention in CLIP and ViT as transformers 5.23 does; older ones call those of ViT `query`, `key`, `value`
            and `attention.output.dense`. Of a whole CLIP it would adapt the text encoder too: give it the vision model.
    """

    objective: Trap2
    arguments: Mapping[str, Any]
    adapter: Mapping[str, Any]


TRAP2_PRESETS: Mapping[str, Trap2Preset] = MappingProxyType(
    {
        "vision_lora": Trap2Preset(
            Trap2(strength=0.01),
            MappingProxyType({**_VISION, "learning_rate": 3e-4}),
            MappingProxyType({"r": 16, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": _ATTENTION}),
        ),
        "vision_full": Trap2Preset(
            Trap2(strength=0.01), MappingProxyType({**_VISION, "learning_rate": 1e-5}), MappingProxyType({})
        ),
        "math_lora": Trap2Preset(
            Trap2(strength=0.01, weighting="inverse_root"),
            MappingProxyType(
                {
                    "optim": "adamw_torch",
                    "learning_rate": 1e-4,
                    "lr_scheduler_type": "linear",
                    "warmup_steps": 0.02,
                    "max_grad_norm": 1.0,
                    "per_device_train_batch_size": 4,
                    "max_steps": 100_000,
                }
            ),
            MappingProxyType({"r": 16, "lora_alpha": 16, "target_modules": ("q_proj", "k_proj", "v_proj", "o_proj")}),
        ),
    }
)
"""By name: "vision_lora", "vision_full", "math_lora"."""
