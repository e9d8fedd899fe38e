"""Merges of the family's pipelines: which of their weights are merged, and the pipeline of merged weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffusers import StableDiffusionPipeline
from torch import Tensor

from mergeguard_hub.merging import MergeMethod
from space.zoo.images.models import make_pipeline, make_text_encoder, make_unet

_PARTS = ("text_encoder", "unet")


def merged_weights(pipeline: StableDiffusionPipeline) -> dict[str, Tensor]:
    """Return the weights that a merge takes: the text encoder's and the UNet's, named with their part."""
    return {
        f"{part}.{name}": tensor for part in _PARTS for name, tensor in getattr(pipeline, part).state_dict().items()
    }


def pipeline_of(weights: Mapping[str, Tensor], base: StableDiffusionPipeline) -> StableDiffusionPipeline:
    """Return a pipeline with these weights, named as by `merged_weights`, and the base's autoencoder."""
    parts = {"text_encoder": make_text_encoder(base.tokenizer), "unet": make_unet()}
    for part, module in parts.items():
        prefix = f"{part}."
        own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        module.load_state_dict(own)
        module.eval()
    return make_pipeline(base.vae, **parts)


def merge(
    method: MergeMethod, base: StableDiffusionPipeline, models: Sequence[StableDiffusionPipeline]
) -> StableDiffusionPipeline:
    """Merge pipelines of the family, with the base's autoencoder."""
    weights = method.merge(merged_weights(base), [merged_weights(model) for model in models])
    return pipeline_of(weights, base)
