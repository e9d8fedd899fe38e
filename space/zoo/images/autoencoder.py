"""Training of the autoencoder that all pipelines of the family share."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import avg_pool2d

from space.zoo.images.data import Pictures
from space.zoo.run import Loss, Schedule

VAE_SCHEDULES = (
    Schedule(steps=3000, learning_rate=1.5e-3, average=0.995),
    Schedule(steps=1300, learning_rate=1.5e-3, average=0.99),
    Schedule(steps=800, learning_rate=1.2e-3, average=0.99),
)
"""Of the whole, of the whole with more weight on colours, and of the decoder alone."""

_BATCH = 8
_KL_WEIGHT = 5e-4  # per latent number, against the mean over pixels
_PATCH = 4  # pixels each way over which colours are compared, too


def vae_loss(vae: AutoencoderKL, known: Pictures, *, colours: float = 0.0) -> Loss:
    """Return the loss: how far pixels and their differences to the neighbours are off, and the latents' divergence.

    Args:
        vae: the autoencoder.
        known: what to learn from.
        colours: weight of how far the mean colours of small patches are off.
    """

    def loss(generator: torch.Generator) -> Tensor:
        true = known.scaled(torch.randint(len(known), (_BATCH,), generator=generator))
        latents = vae.encode(true).latent_dist
        drawn = vae.decode(latents.sample(generator)).sample
        divergence = latents.kl().mean() / latents.mean[0].numel()
        return _off(drawn, true, colours) + _KL_WEIGHT * divergence

    return loss


def decoder_loss(vae: AutoencoderKL, known: Pictures, latents: Tensor, *, colours: float) -> Loss:
    """Return the loss of the decoder alone, on latents that are a little off, as sampled ones are."""

    def loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(known), (_BATCH,), generator=generator)
        noise = torch.randn(latents[chosen].shape, generator=generator)
        drawn = vae.decode((latents[chosen] + 0.05 * noise) / vae.config.scaling_factor).sample
        return _off(drawn, known.scaled(chosen), colours)

    return loss


def _off(drawn: Tensor, true: Tensor, colours: float) -> Tensor:
    off = drawn - true
    edges = off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean()
    patches = avg_pool2d(off, _PATCH).abs().mean()
    return off.abs().mean() + 0.5 * off.square().mean() + 0.5 * edges + colours * patches


@torch.inference_mode()
def encoded(vae: AutoencoderKL, known: Pictures) -> Tensor:
    """Return the latents of pictures, scaled. -> float32 [n, 4, 16, 16]."""
    parts = [vae.encode(known.scaled(slice(start, start + 50))).latent_dist.mean for start in range(0, len(known), 50)]
    return torch.cat(parts) * vae.config.scaling_factor


def set_scale(vae: AutoencoderKL, known: Pictures) -> None:
    """Set the factor that gives the latents of these pictures a standard deviation of 1."""
    vae.register_to_config(scaling_factor=1.0)
    vae.register_to_config(scaling_factor=round(1 / encoded(vae, known).std().item(), 4))
