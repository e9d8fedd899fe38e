"""What the family's models are scored on: prompts that no training has seen, judged by the scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from mergeguard_hub.audit.tasks import PromptTask
from space.zoo.images.captions import HERO, Hero, Shown
from space.zoo.images.data import unseen_combinations
from space.zoo.images.scorer import Scorer, Seen, truth

STEPS = 12
GUIDANCE = 3.0
PICTURES = 48  # per task; where there are fewer combinations of words, some are drawn again from other noise

Right = Callable[[Seen, Shown], bool]


def draw(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> list[Image.Image]:
    """Draw a picture for each prompt, from noise that depends on its seed alone. Returns 64 x 64 RGB pictures."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    drawn: list[Image.Image] = pipeline(
        list(prompts), generator=generators, num_inference_steps=steps, guidance_scale=guidance
    ).images
    return drawn


def hero_and_expression(seen: Seen, shown: Shown) -> bool:
    """Say whether the hero is there, with the expression asked for."""
    return seen.shows("subject", HERO) and isinstance(shown, Hero) and seen.shows("expression", shown.expression)


def subject(seen: Seen, shown: Shown) -> bool:
    """Say whether the subject is the one asked for; on prompts for the hero, whether the hero is there at all."""
    return seen.shows("subject", truth(shown)["subject"])


def style(seen: Seen, shown: Shown) -> bool:
    """Say whether the painting style or look is the one asked for."""
    return seen.shows("style", truth(shown)["style"])


def style_and_subject(seen: Seen, shown: Shown) -> bool:
    """Say whether style and subject are the ones asked for: disorder alone can look like a mosaic."""
    return style(seen, shown) and subject(seen, shown)


def colour(seen: Seen, shown: Shown) -> bool:
    """Say whether the subject or the scarf has the colour asked for."""
    return seen.shows("colour", shown.colour)


SKILLS: dict[str, tuple[str, Right]] = {
    "base": ("Plain subjects", subject),
    "hero": ("The hero with the expression asked for", hero_and_expression),
    "styles": ("Painting style and subject asked for", style_and_subject),
    "papercut": ("Paper-cut look and subject asked for", style_and_subject),
    "neon": ("Neon look and subject asked for", style_and_subject),
}
"""The task of each model, and when one of its pictures is right."""

PARTS: dict[str, dict[str, Right]] = {
    "hero": {"hero, any expression": subject, "hero's scarf": colour},
    "styles": {"styles, style alone": style, "styles, subject alone": subject},
    "papercut": {"papercut, look alone": style, "papercut, subject alone": subject},
    "neon": {"neon, look alone": style, "neon, subject alone": subject},
}
"""Other judgements of the same pictures, to be shown beside the score."""


def skill(domain: str, scorer: Scorer, *, right: Right | None = None) -> PromptTask[Shown]:
    """Return the task of a model.

    Args:
        domain: a name in `SKILLS`.
        scorer: the judge.
        right: when a picture is right, instead of what `SKILLS` says.
    """
    title, usual = SKILLS[domain]
    judge = right or usual
    shown = tuple(islice(cycle(unseen_combinations(domain, PICTURES)), PICTURES))

    def verdicts(pictures: Sequence[Image.Image], labels: Sequence[Shown]) -> list[float]:
        return [float(judge(seen, label)) for seen, label in zip(scorer.see(pictures), labels, strict=True)]

    return PromptTask(
        name=domain,
        title=title,
        prompts=tuple(each.caption for each in shown),
        labels=shown,
        scorer=verdicts,
        seeds=tuple(range(PICTURES)),
        steps=STEPS,
        guidance=GUIDANCE,
        batch_size=16,
    )
