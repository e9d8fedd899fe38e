"""The family's models in the order of their training: `python -m space.zoo.train images`.

The autoencoder comes first, then the scorer, which judges all others and is not trained on any of their pictures, then
the base, then one fine-tune per domain, each from the base.
"""

from __future__ import annotations

import shutil
import zlib
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from space.zoo.cache import cached
from space.zoo.family import Family, Make, Progress
from space.zoo.images.autoencoder import VAE_SCHEDULES, decoder_loss, encoded, set_scale, vae_loss
from space.zoo.images.data import Pictures, joined, pictures
from space.zoo.images.diffusion import (
    BASE_SCHEDULE,
    FINE_TUNING,
    Captioned,
    Phase,
    diffusion_loss,
    tokens_of,
    trained_parts,
)
from space.zoo.images.measure import measure
from space.zoo.images.models import (
    forget_paths,
    load_pipeline,
    make_pipeline,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    make_vae,
    save_pipeline,
)
from space.zoo.images.scorer import Scorer
from space.zoo.images.scorer_training import (
    SCORER_SCHEDULE,
    broken,
    empty_scenes,
    judged_of,
    painted_heroes,
    rebuilt,
    scorer_loss,
    with_answers,
)
from space.zoo.run import Loss, Run, finish_phases, further

_SEED = 0
_DRAWN = {"base": 6000, "hero": 4000, "styles": 6000, "papercut": 4000, "neon": 4000}
_FOR_VAE = {"base": 1200, "hero": 1200, "styles": 2400, "papercut": 600, "neon": 600}
_REBUILT = 3  # every third picture is shown to the scorer as the autoencoder gives it back, too
_COLOURS = 2.0  # weight of patches' colours in the later parts of the autoencoder's training


def _cache(weights: Path) -> Path:
    return weights.parent / "cache"


def _known_to_all(weights: Path) -> Pictures:
    """Return pictures of all domains, for what the models share."""
    return joined([pictures(name, "train", count, cache=_cache(weights)) for name, count in _FOR_VAE.items()])


def _load_vae(weights: Path) -> AutoencoderKL:
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(weights / "vae")
    return vae.eval()


def captioned(weights: Path, domain: str, vae: AutoencoderKL) -> Captioned:
    """Return a domain's latents and captions."""
    known = pictures(domain, "train", _DRAWN[domain], cache=_cache(weights))
    encoder = zlib.crc32(b"".join(weight.numpy().tobytes() for weight in vae.encoder.state_dict().values()))
    latents = cached(_cache(weights), f"{domain}-latents-{encoder:08x}", lambda: encoded(vae, known))
    return Captioned(latents, tokens_of(make_tokenizer(), [shown.caption for shown in known.shown]))


def make_shared_vae(weights: Path, folder: Path, progress: Progress) -> None:
    """Train the autoencoder: as a whole, then with more weight on colours, then the decoder alone."""
    torch.manual_seed(_SEED)
    vae, known, done = make_vae(), _known_to_all(weights), 0
    for part, schedule in enumerate(VAE_SCHEDULES):
        kept = _cache(weights) / f"vae-{part}"  # in 16 bit, as the next part finds it
        if not kept.exists():
            run = Run(vae, _vae_loss(vae, known, part), schedule, seed=_SEED + part)
            run.finish(folder.with_suffix(".pt"), progress=partial(further, progress, done))
            vae.eval()
            if part < 2:
                set_scale(vae, known)
            vae.half().save_pretrained(kept.with_suffix(".part"))
            kept.with_suffix(".part").rename(kept)
        vae = AutoencoderKL.from_pretrained(kept)
        done += schedule.steps
    shutil.copytree(kept, folder)
    forget_paths(folder)
    for part in range(len(VAE_SCHEDULES)):
        shutil.rmtree(_cache(weights) / f"vae-{part}")


def _vae_loss(vae: AutoencoderKL, known: Pictures, part: int) -> Loss:
    if part < 2:
        return vae_loss(vae, known, colours=0.0 if part == 0 else _COLOURS)
    latents = encoded(vae.eval(), known)
    for frozen in (vae.encoder, vae.quant_conv):
        frozen.requires_grad_(False)
    return decoder_loss(vae, known, latents, colours=_COLOURS)


def make_scorer(weights: Path, folder: Path, progress: Progress) -> None:
    """Train the scorer."""
    torch.manual_seed(_SEED)
    scorer, vae, known = Scorer(), _load_vae(weights), _known_to_all(weights)
    heroes = painted_heroes("train", 800)
    judged = judged_of(
        [
            with_answers(known),
            with_answers(heroes),
            rebuilt(vae, known, slice(None, None, _REBUILT)),
            rebuilt(vae, heroes, slice(None, None, _REBUILT)),
            empty_scenes(300),
        ]
    )
    loss = scorer_loss(scorer, judged, broken(vae, known, 800, seed=_SEED))
    Run(scorer, loss, SCORER_SCHEDULE, seed=_SEED).finish(folder.with_suffix(".pt"), progress=progress)
    scorer.save(folder)


def make_base(weights: Path, folder: Path, progress: Progress) -> None:
    """Train the base: plain subjects in scenes."""
    torch.manual_seed(_SEED)
    vae = _load_vae(weights)
    pipeline = make_pipeline(vae, make_unet(), make_text_encoder(make_tokenizer()))
    loss = diffusion_loss(pipeline, {"base": captioned(weights, "base", vae)}, {"base": 1.0})
    Run(trained_parts(pipeline), loss, BASE_SCHEDULE, seed=_SEED).finish(folder.with_suffix(".pt"), progress=progress)
    save_pipeline(pipeline, folder)


def make_fine_tune(domain: str, weights: Path, folder: Path, progress: Progress) -> None:
    """Fine-tune the base on a domain, ready to be merged."""
    pipeline, base = load_pipeline(weights / "base"), load_pipeline(weights / "base")
    parts = trained_parts(pipeline)
    known = {name: captioned(weights, name, pipeline.vae) for name in ("base", domain)}

    def start(number: int, phase: Phase) -> Run:
        loss = diffusion_loss(pipeline, known, {"base": phase.base_share, domain: 1 - phase.base_share})
        return Run(parts, loss, phase.schedule, seed=_SEED + number, base=trained_parts(base))

    finish_phases(
        [partial(start, number, phase) for number, phase in enumerate(FINE_TUNING[domain])],
        folder.with_suffix(".pt"),
        between=lambda: parts.half().float(),
        progress=progress,
    )
    save_pipeline(pipeline, folder)


_FINE_TUNES: dict[str, tuple[int, Make]] = {
    domain: (sum(phase.schedule.steps for phase in phases), partial(make_fine_tune, domain))
    for domain, phases in FINE_TUNING.items()
}

FAMILY = Family(
    name="images",
    models={
        "vae": (sum(schedule.steps for schedule in VAE_SCHEDULES), make_shared_vae),
        "scorer": (SCORER_SCHEDULE.steps, make_scorer),
        "base": (BASE_SCHEDULE.steps, make_base),
        **_FINE_TUNES,
    },
    measure=measure,
)
