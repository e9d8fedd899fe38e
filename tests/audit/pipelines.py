"""A tiny pipeline of random weights with the parts of Stable Diffusion 1.5."""

from __future__ import annotations

from typing import Any

from tests import tiny
from tests.audit.talkers import tokenizer

WORDS = [f"w{number}" for number in range(20)]


def stable_diffusion() -> Any:
    """Return a pipeline that draws 16 x 16 pictures."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline

    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    words = tokenizer(WORDS)
    words.model_max_length = 16
    return StableDiffusionPipeline(
        vae=autoencoder.eval(),
        text_encoder=tiny.clip_text(),
        tokenizer=words,
        unet=tiny.unet(),
        scheduler=DDIMScheduler(num_train_timesteps=50, clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
