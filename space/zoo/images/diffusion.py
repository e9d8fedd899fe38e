"""Training of the UNet and the text encoder on latents with captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from torch import Tensor, nn
from transformers import CLIPTokenizer

from mergeguard_hub.training import zero_prediction
from space.zoo.images.models import NOISE
from space.zoo.run import Loss, Schedule

BASE_SCHEDULE = Schedule(steps=3000, learning_rate=1.2e-3, weight_decay=1e-2, average=0.998)
_BATCH = 32
_NO_CAPTION = 0.1  # share of the captions left away, for guidance without a classifier
_LARGEST_SNR = 5.0  # Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting Strategy", arXiv 2303.09556


@dataclass(frozen=True)
class Phase:
    """One of the phases of a fine-tuning.

    Attributes:
        schedule: steps and learning rate.
        base_share: of every batch, in the mean, that are the base's pictures, so that little of them is forgotten.
    """

    schedule: Schedule
    base_share: float


_FIRST = Phase(Schedule(steps=1800, learning_rate=6e-4, average=0.995, merge_ready=0.4), base_share=0.15)
_SECOND = Phase(Schedule(steps=900, learning_rate=5e-4, average=0.995, merge_ready=0.4), base_share=0.38)
_LOOK = Phase(replace(_FIRST.schedule, steps=800), base_share=0.3)  # one look is learned sooner than four styles
FINE_TUNING: dict[str, tuple[Phase, ...]] = {
    "hero": (_FIRST,),
    "styles": (_FIRST, _SECOND),
    "papercut": (_LOOK,),
    "neon": (_LOOK,),
}
"""By domain. The second phase, with more of the base's pictures, was added because the first learned too little."""


@dataclass(frozen=True)
class Captioned:
    """Latents and their captions.

    Attributes:
        latents: float32 [n, 4, 16, 16], scaled.
        tokens: int64 [n, context].
    """

    latents: Tensor
    tokens: Tensor


def tokens_of(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Return the captions' tokens, padded. -> int64 [n, context]."""
    tokens: Tensor = tokenizer(list(captions), padding="max_length", return_tensors="pt").input_ids
    return tokens


def trained_parts(pipeline: StableDiffusionPipeline) -> nn.ModuleDict:
    """Return the parts of a pipeline that are trained, fine-tuned and merged."""
    return nn.ModuleDict({"text_encoder": pipeline.text_encoder, "unet": pipeline.unet})


def diffusion_loss(
    pipeline: StableDiffusionPipeline, known: Mapping[str, Captioned], shares: Mapping[str, float]
) -> Loss:
    """Return the loss: how far the predicted velocity is off, in the mean over noise levels, weighted by min-SNR.

    Args:
        pipeline: its UNet and text encoder are trained.
        known: pictures by domain.
        shares: how much of a batch each domain is, in the mean.
    """
    noising = DDPMScheduler(**NOISE)
    weights = _weights(noising)
    nothing = tokens_of(pipeline.tokenizer, [""])

    def loss(generator: torch.Generator) -> Tensor:
        latents, tokens = _batch(known, shares, generator)
        dropped = torch.rand((len(tokens), 1), generator=generator) < _NO_CAPTION
        times = torch.randint(len(weights), (len(latents),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        meaning = pipeline.text_encoder(torch.where(dropped, nothing, tokens)).last_hidden_state
        predicted = pipeline.unet(noising.add_noise(latents, noise, times), times, meaning).sample
        error = (predicted - noising.get_velocity(latents, noise, times)).square().mean((1, 2, 3))
        return (weights[times] * error).mean()

    return loss


def guessing_loss(known: Captioned) -> float:
    """Return the loss of predicting no velocity at all."""
    noising, generator = DDPMScheduler(**NOISE), torch.Generator().manual_seed(0)
    weights = _weights(noising)
    times = torch.randint(len(weights), (len(known.latents),), generator=generator)
    noise = torch.randn(known.latents.shape, generator=generator)
    targets = noising.get_velocity(known.latents, noise, times)
    return zero_prediction(weights[times].sqrt().view(-1, 1, 1, 1) * targets)


def _weights(noising: DDPMScheduler) -> Tensor:
    """Return the weight of the velocity's error at each noise level."""
    snr = noising.alphas_cumprod / (1 - noising.alphas_cumprod)
    return snr.clamp(max=_LARGEST_SNR) / (snr + 1)


def _batch(
    known: Mapping[str, Captioned], shares: Mapping[str, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw pictures of the domains by their shares. -> latents [batch, 4, 16, 16], tokens [batch, context]."""
    domains = torch.multinomial(torch.tensor(list(shares.values())), _BATCH, replacement=True, generator=generator)
    latents, tokens = [], []
    for place, name in enumerate(shares):
        count = int((domains == place).sum())
        chosen = torch.randint(len(known[name].latents), (count,), generator=generator)
        latents.append(known[name].latents[chosen])
        tokens.append(known[name].tokens[chosen])
    return torch.cat(latents), torch.cat(tokens)
