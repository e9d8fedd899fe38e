"""The family's figure: the same prompts by defender, partner, and their merges with and without protection."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

from mergeguard_hub.merging import MergeMethod, WeightAveraging
from space.zoo.images.captions import HERO, Hero
from space.zoo.images.data import IMAGE_SIZE, unseen_combinations
from space.zoo.images.measure import PAIRS, protected
from space.zoo.images.merges import merge
from space.zoo.images.models import load_pipeline
from space.zoo.images.tasks import draw

_CELL = 2 * IMAGE_SIZE
_GAP = 6
_LABELS = 196
_HEADER = 44
_FONT = 13
SEED = 7
_ENOUGH = 60  # combinations, among which every expression and style appears


def prompts_of(defender: str) -> tuple[str, ...]:
    """Return the rows: the first unseen prompt for each expression or subject of both models, and of both at once."""
    partner = PAIRS[defender]
    rows = [*first_of_each(defender), *first_of_each(partner)]
    if defender == "hero":
        rows.append(f"{HERO} smiling with a red scarf by day in the style of ink")
    return tuple(rows)


def grid(
    weights: Path, defender: str = "hero", *, method: MergeMethod | None = None, hardened: Path | None = None
) -> Image.Image:
    """Draw the figure of a pair.

    Args:
        weights: folder with the models.
        defender: a key of `PAIRS`.
        method: how the two are merged; None: weight averaging.
        hardened: the defender's release in place of one that is made by rearranging it; two rows are of the base's
            pictures then.
    """
    chosen = method or WeightAveraging()
    base = load_pipeline(weights / "base")
    own, other = load_pipeline(weights / defender), load_pipeline(weights / PAIRS[defender])
    rows = (*prompts_of(defender), *(first_of_each("base")[:2] if hardened else ()))
    with nullcontext(load_pipeline(hardened)) if hardened else protected(weights, defender) as release:
        kind = "hardened" if hardened else "protected"
        columns = {
            f"defender: {defender}": own,
            f"partner: {PAIRS[defender]}": other,
            "merged, unprotected": merge(chosen, base, [own, other]),
            f"{kind}, alone": release,
            f"merged, {kind}": merge(chosen, base, [release, other]),
        }
        return sheet(rows, {title: _drawn(pipeline, rows) for title, pipeline in columns.items()})


def sheet(rows: Sequence[str], columns: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """Put pictures side by side, with the prompts on the left and the columns' titles above."""
    step = _CELL + _GAP
    image = Image.new("RGB", (_LABELS + len(columns) * step, _HEADER + len(rows) * step), (255, 255, 255))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=_FONT)
    for place, (title, drawn) in enumerate(columns.items()):
        left = _LABELS + place * step
        pen.multiline_text((left, 6), textwrap.fill(title, 18), fill=(20, 20, 20), font=font)
        for row, picture in enumerate(drawn):
            large = picture.resize((_CELL, _CELL), Image.Resampling.BICUBIC)
            image.paste(large, (left, _HEADER + row * step))
    for row, prompt in enumerate(rows):
        middle = (8, _HEADER + row * step + _CELL // 2)
        pen.multiline_text(middle, textwrap.fill(prompt, 24), fill=(20, 20, 20), font=font, anchor="lm")
    return image


def first_of_each(domain: str) -> list[str]:
    """Return the first unseen prompt for each expression (of the hero), style (of the styles) or four subjects."""
    found: dict[str, str] = {}
    for shown in unseen_combinations(domain, _ENOUGH):
        if isinstance(shown, Hero):
            kind = shown.expression
        else:
            kind = str(shown.style) if domain == "styles" else shown.subject
        found.setdefault(kind, shown.caption)
    return list(found.values())[:4]


def _drawn(pipeline: StableDiffusionPipeline, rows: Sequence[str]) -> list[Image.Image]:
    return draw(pipeline, rows, [SEED] * len(rows))
