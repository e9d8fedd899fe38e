"""The parts of the pipeline: the classes of Stable Diffusion 1.5, small."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from space.zoo.images.captions import words
from space.zoo.images.data import IMAGE_SIZE

CONTEXT = 24
PREDICTION = "v_prediction"
_FACTOR = 4  # pixels per latent, each way
_WIDTH = 80
_HEADS = 4
NOISE: dict[str, Any] = {  # Stable Diffusion's
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": PREDICTION,
}
_SAMPLING: dict[str, Any] = {"algorithm_type": "dpmsolver++", "timestep_spacing": "trailing", "steps_offset": 1}


def make_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer to which every word of the captions is one token."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1) if not chr(code).isupper()]
    vocabulary = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters)])
    merges: list[tuple[str, str]] = []
    for word in words():
        pieces = _merged([*word[:-1], f"{word[-1]}</w>"], merges)
        while len(pieces) > 1:  # later merges rank lower, so that the words before stay whole
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            vocabulary[pieces[0]] = None
    tokens = [*vocabulary, "<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=CONTEXT)


def _merged(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Return what byte pair encoding makes of a word: of all pairs that can be merged, always the first in rank."""
    while True:
        ranks = [merges.index(pair) for pair in pairwise(pieces) if pair in merges]
        if not ranks:
            return pieces
        left, right = merges[min(ranks)]
        place = next(i for i, pair in enumerate(pairwise(pieces)) if pair == (left, right))
        pieces = [*pieces[:place], left + right, *pieces[place + 2 :]]


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return a CLIP text encoder with random weights."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WIDTH,
            intermediate_size=4 * _WIDTH,
            num_hidden_layers=3,
            num_attention_heads=_HEADS,
            max_position_embeddings=CONTEXT,
            projection_dim=_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_unet() -> UNet2DConditionModel:
    """Return a UNet with random weights; attention at 8 x 8 and 4 x 4, none at 16 x 16, where it takes most time."""
    return UNet2DConditionModel(
        sample_size=IMAGE_SIZE // _FACTOR,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64, 80),
        norm_num_groups=16,
        cross_attention_dim=_WIDTH,
        attention_head_dim=_HEADS,  # diffusers' name for the number of heads, as in Stable Diffusion
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )


def make_vae() -> AutoencoderKL:
    """Return an autoencoder with random weights: [n, 3, 64, 64] to latents [n, 4, 16, 16] and back."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=IMAGE_SIZE,
        block_out_channels=(16, 32, 48),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )


def make_pipeline(
    vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel
) -> StableDiffusionPipeline:
    """Put the parts together."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=make_tokenizer(),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(**NOISE, **_SAMPLING),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_pipeline(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write a pipeline's folder with weights in 16 bit, which loads in 32 bit; the pipeline is in 16 bit afterwards."""
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.half()
    pipeline.save_pretrained(folder)
    # diffusers loads in 32 bit, transformers in the type that the configuration names, and the parts must agree.
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2) + "\n")
    forget_paths(folder)


def forget_paths(folder: Path) -> None:
    """Take out of the configurations where the parts were loaded from, a path on this machine."""
    for config in folder.rglob("*.json"):
        settings = json.loads(config.read_text())
        if settings.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(settings, indent=2) + "\n")


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """Load a pipeline's folder as anybody would."""
    pipeline: StableDiffusionPipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
