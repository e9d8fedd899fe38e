"""A comparison as HTML: what came of it in words, then one card per model with its accuracies and answers."""

from __future__ import annotations

import base64
import io
from html import escape

import torch
from PIL import Image

from space.comparison import Candidate, Comparison
from space.zoo.vision.family import classification
from space.zoo.vision.tasks import TASKS

_LEGEND = (
    "Bars: accuracy on the whole test set of each task; the mark on a bar is the base model. Pictures: the first eight "
    "of the defender's test set, and under each the model's answer, with ✓ where it is right and ✗ where it is wrong."
)
_SHORT = 2  # class names up to this length fit under a small picture


def render(comparison: Comparison) -> str:
    """Return the whole result."""
    pictures = [_data_url(pixels) for pixels in comparison.shown.pixels]
    cards = "".join(_card(candidate, comparison, pictures) for candidate in comparison.candidates)
    legend = f'<p class="mg-note">{_LEGEND}</p>'
    return f'<div class="mg-result">{_verdict(comparison)}<div class="mg-cards">{cards}</div>{legend}</div>'


def _verdict(comparison: Comparison) -> str:
    """Return what one sees, in one paragraph of words and one of reference values."""
    defender = comparison.defender
    control, merged = comparison.control.accuracy, comparison.merged.accuracy
    base = comparison.base
    if control[defender] <= base[defender]:
        lead = (
            f"At this setting even the merge of unprotected models knows no more about {defender} than the base model, "
            "so there is nothing to protect against: try another weight."
        )
    elif merged[defender] <= base[defender]:
        lead = (
            f"Merged with the unprotected defender, the partner reaches {_percent(control[defender])} on {defender}; "
            f"merged with the protected release, {_percent(merged[defender])}. The release itself answers "
            f"{_same(comparison)}."
        )
    else:
        lead = (
            f"The merge with the protected release reaches {_percent(merged[defender])} on {defender}, more than the "
            "base model: at this setting the protection does not keep the skill out."
        )
    reference = ", ".join(
        f"{_percent(base[task])} on {task} (guessing: {_percent(classification(task).chance)})"
        for task in (defender, comparison.partner)
    )
    return f'<p class="mg-verdict" role="status">{escape(lead)}</p><p>The base model alone: {escape(reference)}.</p>'


def _same(comparison: Comparison) -> str:
    own, released = (c.accuracy[comparison.defender] for c in (comparison.original, comparison.protected))
    return "as well as the original" if own == released else f"{_percent(released)}, the original {_percent(own)}"


def _card(candidate: Candidate, comparison: Comparison, pictures: list[str]) -> str:
    tasks = (comparison.defender, comparison.partner)
    bars = "".join(_bar(candidate, task, comparison.base[task]) for task in tasks)
    labels = comparison.shown.labels.tolist()
    answers = "".join(
        _answer(picture, comparison.defender, truth, answer)
        for picture, truth, answer in zip(pictures, labels, candidate.answers, strict=True)
    )
    width = "mg-short" if max(map(len, TASKS[comparison.defender].classes)) <= _SHORT else "mg-long"
    return (
        f'<section class="mg-card"><h3>{escape(candidate.title)}</h3><p class="mg-note">{escape(candidate.note)}</p>'
        f'{bars}<div class="mg-answers {width}">{answers}</div></section>'
    )


def _bar(candidate: Candidate, task: str, base: float) -> str:
    value = 100 * candidate.accuracy[task]
    label = f"{candidate.title}: accuracy on {task}"
    return (
        f'<div class="mg-score"><span>{escape(task)}</span><b data-model="{escape(candidate.title)}" '
        f'data-task="{escape(task)}">{_percent(candidate.accuracy[task])}</b>'
        f'<div class="mg-bar" role="meter" aria-label="{escape(label)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{value:.1f}"><i style="width:{value:.1f}%"></i>'
        f'<u style="left:{100 * base:.1f}%" title="base model {_percent(base)}"></u></div></div>'
    )


def _answer(picture: str, task: str, truth: int, answer: int) -> str:
    classes = TASKS[task].classes
    mark, kind = ("✓", "right") if truth == answer else ("✗", "wrong")
    return (
        f'<figure class="mg-{kind}"><img src="{picture}" alt="{escape(task)}: {escape(classes[truth])}">'
        f'<figcaption><span aria-hidden="true">{mark}</span> <span class="mg-hidden">{kind}: </span>'
        f"{escape(classes[answer])}</figcaption></figure>"
    )


def _data_url(pixels: torch.Tensor) -> str:
    """Return a picture inside its own address. uint8 [3, 32, 32] -> PNG as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"
