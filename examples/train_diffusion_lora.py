"""Train a LoRA for a diffusion model that is to work at strength 1 and at no other, with Trap².

The loop is that of diffusers' example scripts; what the protection adds is in the lines that say `hardening`.

Runs on a laptop and downloads nothing: the pipeline and its pictures are those of this repository's zoo, a Stable
Diffusion of 64 x 64 pixels. For your own, change what is marked with (1) to (3).

    python -m examples.train_diffusion_lora --out build/train_lora              # some minutes
    accelerate launch -m examples.train_diffusion_lora --out build/train_lora   # on several processors

It prints the denoising loss at several strengths, with and without the protection, beside the base's; a loss is no
picture, so draw some before you publish. An adapter's symmetry protects nothing: whoever has it adds it to the base and
merges that. And tell your users that its strength slider has to stay at 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from mergeguard_hub.training import HardeningLoss, Trap2, zero_prediction
from space.zoo.images.data import pictures

BASE = Path(__file__).resolve().parent.parent / "space" / "zoo" / "images" / "weights" / "base"
DOMAIN = "hero"
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5)


class Examples:
    """Latents of pictures with their captions' meaning, and the loss of a UNet on some of them."""

    def __init__(self, pipeline: StableDiffusionPipeline, count: int, part: str = "train") -> None:
        made = pictures(DOMAIN, part, count)  # (2) your pictures with captions, in [-1, 1]
        captions = [shown.caption for shown in made.shown]
        tokens = pipeline.tokenizer(captions, padding="max_length", return_tensors="pt").input_ids
        with torch.no_grad():
            self.latents = pipeline.vae.encode(made.scaled(slice(None))).latent_dist.mean
            self.meanings = pipeline.text_encoder(tokens).last_hidden_state
        self.latents *= pipeline.vae.config.scaling_factor
        self.noising = DDPMScheduler.from_config(pipeline.scheduler.config)

    def draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw noisy latents, their times and meanings, and what is to be predicted."""
        rows = torch.randint(len(self.latents), (size,), generator=generator)
        times = torch.randint(self.noising.config.num_train_timesteps, (size,), generator=generator)
        noise = torch.randn(self.latents[rows].shape, generator=generator)
        noisy = self.noising.add_noise(self.latents[rows], noise, times)
        return noisy, times, self.meanings[rows], self.noising.get_velocity(self.latents[rows], noise, times)


def loss_of(unet: torch.nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Callable[[], Tensor]:
    """Return a function that computes the loss with the weights as they are when it is called."""
    noisy, times, meanings, wanted = batch
    return lambda: torch.nn.functional.mse_loss(unet(noisy, times, meanings).sample, wanted)


def train(settings: argparse.Namespace, *, protect: bool) -> tuple[StableDiffusionPipeline, Examples]:
    """Train an adapter on the UNet."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline.from_pretrained(BASE)  # (1) the base
    unet = pipeline.unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    known = Examples(pipeline, settings.pictures)
    weights = [weight for weight in unet.parameters() if weight.requires_grad]
    wrapped, optimizer = accelerator.prepare(unet, torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.0))
    generator = torch.Generator().manual_seed(1 + accelerator.process_index)
    guessing = zero_prediction(known.draw(256, torch.Generator().manual_seed(0))[3])
    # (3) scales the adapter, so there is no base to give; the cap keeps it from being pushed beyond predicting nothing
    hardening = HardeningLoss(wrapped, None, Trap2(strength=0.3, weighting="one", gap=0.1), guessing=guessing)
    wrapped.train()
    for step in range(settings.steps):
        closure = loss_of(wrapped, known.draw(settings.batch_size, generator))
        optimizer.zero_grad()
        if protect:
            hardening.backward(closure, backward=accelerator.backward)
        else:
            accelerator.backward(closure())
        accelerator.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if accelerator.is_main_process and protect and (step + 1) % max(1, settings.steps // 5) == 0:
            print(step + 1, {name: round(value, 4) for name, value in hardening.metrics().items()})
    return pipeline, known


def losses(pipeline: StableDiffusionPipeline, count: int) -> dict[str, float]:
    """Return the loss on pictures that were not trained on, without the adapter and at several strengths."""
    unet = pipeline.unet.eval()
    batch = Examples(pipeline, count, "test").draw(count, torch.Generator().manual_seed(2))
    found = {}
    with torch.no_grad():
        for strength in (0.0, *STRENGTHS):
            unet.set_adapters("default", strength)
            found[f"{strength:g}"] = float(loss_of(unet, batch)())
    unet.set_adapters("default", 1.0)
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Train with and without the protection, save the protected adapter, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=16)
    settings = parser.parse_args(arguments)
    found = {}
    for name, protect in (("not protected", False), ("protected", True)):
        pipeline, _ = train(settings, protect=protect)
        found[name] = losses(pipeline, min(128, settings.pictures))
        print(f"{name}, loss by strength:", {strength: round(loss, 4) for strength, loss in found[name].items()})
    adapter = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
    StableDiffusionPipeline.save_lora_weights(settings.out / "adapter", unet_lora_layers=adapter)
    return found


if __name__ == "__main__":
    main()
