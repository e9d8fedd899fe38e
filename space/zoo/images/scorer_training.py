"""Training of the scorer: drawings that are blurred, noisy or went through the autoencoder, and garbage."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate, pad

from space.zoo.images.captions import SCENES, STYLES, Hero, Part, any_hero, in_part
from space.zoo.images.data import IMAGE_SIZE, Pictures, draw_picture
from space.zoo.images.drawing import draw_scene
from space.zoo.images.scorer import HEADS, Scorer, truth
from space.zoo.run import Loss, Schedule

SCORER_SCHEDULE = Schedule(steps=1500, learning_rate=2e-3, weight_decay=1e-3, average=0.99)
_BATCH = 48
_GARBAGE = 10  # of the batch
_NONE = -1  # no answer: the head is not trained on this picture


@dataclass(frozen=True)
class Judged:
    """Pictures with the right answers.

    Attributes:
        pixels: float32 [n, 3, 64, 64] in [-1, 1].
        answers: int64 [n, heads], -1 where a head does not apply.
    """

    pixels: Tensor
    answers: Tensor


def with_answers(known: Pictures, pixels: Tensor | None = None) -> Judged:
    """Return pictures with the answers to them; `pixels` replaces how they look."""
    rows = [truth(shown) for shown in known.shown]
    return Judged(known.scaled(slice(None)) if pixels is None else pixels, answers_of(rows))


def answers_of(rows: Sequence[dict[str, str]]) -> Tensor:
    """Return right answers as numbers. -> int64 [n, heads]."""
    numbers = [[HEADS[head].index(row[head]) if head in row else _NONE for head in HEADS] for row in rows]
    return torch.tensor(numbers)


def judged_of(parts: Sequence[Judged]) -> Judged:
    """Return the pictures of several sets as one."""
    return Judged(torch.cat([part.pixels for part in parts]), torch.cat([part.answers for part in parts]))


def painted_heroes(part: Part, count: int) -> Pictures:
    """Return the hero in painting styles, which no diffusion model is trained on but merges draw."""
    chance = random.Random(zlib.crc32(f"painted heroes/{part}".encode()))
    shown: list[Hero] = []
    while len(shown) < count:
        candidate = any_hero(chance, styles=STYLES)
        if in_part(candidate, part):
            shown.append(candidate)
    return Pictures(_pixels([draw_picture(hero, chance) for hero in shown]), tuple(shown))


def empty_scenes(count: int) -> Judged:
    """Return scenes in which nothing is."""
    chance = random.Random(zlib.crc32(b"empty scenes"))
    scenes = [chance.choice(SCENES) for _ in range(count)]
    size = (IMAGE_SIZE, IMAGE_SIZE)
    drawn = [draw_scene(scene, None, chance).resize(size, Image.Resampling.BOX) for scene in scenes]
    rows = [{"subject": "nothing", "scene": scene, "style": "plain", "kind": "picture"} for scene in scenes]
    return Judged(_pixels(drawn).float() / 127.5 - 1, answers_of(rows))


@torch.inference_mode()
def rebuilt(vae: AutoencoderKL, known: Pictures, chosen: slice) -> Judged:
    """Return pictures as the autoencoder gives them back."""
    parts = [vae.decode(vae.encode(part).latent_dist.mean).sample for part in known.scaled(chosen).split(50)]
    return with_answers(Pictures(known.pixels[chosen], known.shown[chosen]), torch.cat(parts).clamp(-1, 1))


@torch.inference_mode()
def broken(vae: AutoencoderKL, known: Pictures, count: int, *, seed: int) -> Tensor:
    """Return what the autoencoder makes of latents in disorder: mixed up, drowned in noise or in patches."""
    generator = torch.Generator().manual_seed(seed)
    made: list[Tensor] = []
    for part in known.scaled(torch.randint(len(known), (count,), generator=generator)).split(50):
        latents = vae.encode(part).latent_dist.mean
        noise = torch.randn(latents.shape, generator=generator) * latents.std()
        kind = len(made) % 4
        if kind == 0:
            latents = 0.35 * latents + 0.95 * noise
        elif kind == 1:
            latents = _shuffled(latents, 4, generator)
        elif kind == 2:
            coarse = interpolate(noise[..., ::4, ::4], scale_factor=4, mode="bilinear")
            latents = 0.5 * latents[torch.randperm(len(latents), generator=generator)] + 1.5 * coarse
        else:
            latents = latents[:, torch.randperm(4, generator=generator)] * 1.3 + 0.4 * noise
        made.append(vae.decode(latents).sample.clamp(-1, 1))
    return torch.cat(made)


def scorer_loss(scorer: Scorer, known: Judged, garbage: Tensor) -> Loss:
    """Return the loss: the sum of the heads' cross-entropies on a batch that is made worse at random."""
    all_garbage = answers_of([{"kind": "garbage"}] * _GARBAGE)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(known.pixels), (_BATCH,), generator=generator)
        pixels, answers = _worse(known.pixels[chosen], generator), known.answers[chosen]
        if torch.rand((), generator=generator) < 0.6:
            pixels[:_GARBAGE] = garbage[torch.randint(len(garbage), (_GARBAGE,), generator=generator)]
        else:
            pixels[:_GARBAGE] = _spoilt(pixels[:_GARBAGE], generator)
        answers[:_GARBAGE] = all_garbage
        logits = scorer(pixels.clamp(-1, 1))
        losses = [
            cross_entropy(logits[head], answers[:, place], ignore_index=_NONE) for place, head in enumerate(HEADS)
        ]
        return torch.stack(losses).sum()

    return loss


def _worse(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Add noise and a shade, and blur some batches."""
    count = len(pixels)
    noise = torch.randn(pixels.shape, generator=generator) * torch.rand((count, 1, 1, 1), generator=generator) * 0.12
    shade = torch.randn((count, 3, 1, 1), generator=generator) * 0.05
    if torch.rand((), generator=generator) < 0.4:
        pixels = 0.4 * pixels + 0.6 * avg_pool2d(pad(pixels, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return pixels + noise + shade


def _spoilt(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Make garbage of pictures: patches in disorder, coarse noise over them, or their own waves out of step."""
    size = pixels.shape[-1]
    makers: tuple[Callable[[], Tensor], ...] = (
        lambda: _shuffled(pixels, 8, generator),
        lambda: interpolate(torch.randn((len(pixels), 3, 8, 8), generator=generator), size, mode="bilinear"),
        lambda: (
            0.3 * pixels.roll(1, 0)
            + 0.8 * interpolate(torch.randn((len(pixels), 3, 16, 16), generator=generator), size, mode="bilinear")
        ),
        lambda: _out_of_step(pixels, generator),
        lambda: (
            pixels.mean((2, 3), keepdim=True)
            + 0.5 * interpolate(torch.randn((len(pixels), 3, 16, 16), generator=generator), size, mode="nearest")
        ),
    )
    return makers[int(torch.randint(len(makers), (), generator=generator))]()


def _out_of_step(pixels: Tensor, generator: torch.Generator) -> Tensor:
    other = torch.fft.rfft2(torch.randn((len(pixels), 1, *pixels.shape[2:]), generator=generator))
    turned = torch.fft.rfft2(pixels).abs() * other / other.abs().clamp_min(1e-6)
    return torch.fft.irfft2(turned, s=pixels.shape[2:])


def _shuffled(pixels: Tensor, patch: int, generator: torch.Generator) -> Tensor:
    """Put the square patches of the pictures in one random order. [n, c, h, w] -> the same."""
    count, channels, height, width = pixels.shape
    rows, columns = height // patch, width // patch
    patches = pixels.reshape(count, channels, rows, patch, columns, patch).permute(0, 1, 3, 5, 2, 4)
    patches = patches.reshape(count, channels, patch, patch, -1)[
        ..., torch.randperm(rows * columns, generator=generator)
    ]
    patches = patches.reshape(count, channels, patch, patch, rows, columns).permute(0, 1, 4, 2, 5, 3)
    return patches.reshape(pixels.shape)


def _pixels(drawn: Sequence[Image.Image]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in drawn])).permute(0, 3, 1, 2).contiguous()
