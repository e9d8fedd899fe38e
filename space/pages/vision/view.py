"""A comparison as HTML: what came of it in words, then one card per model with its accuracies and answers."""

from __future__ import annotations

import base64
import io
from html import escape

import torch
from PIL import Image

from space.five import COLUMNS
from space.pages.vision.compare import Candidate, Comparison
from space.shelf import HARDENED
from space.zoo.vision.family import classification
from space.zoo.vision.tasks import TASKS

_LEGEND = (
    "Bars: accuracy on the whole test set of each task; the mark on a bar is the base model. Pictures: the first eight "
    "of the defender's test set, and under each the model's answer, with ✓ where it is right and ✗ where it is wrong."
)
_SHORT = 2  # class names up to this length fit under a small picture


def render(comparison: Comparison) -> str:
    """Return what is known so far: cards of the models measured, and a verdict once all five are."""
    pictures = [data_url(pixels) for pixels in comparison.shown.pixels]
    cards = "".join(_card(candidate, comparison, pictures) for candidate in comparison.candidates.values())
    waiting = "".join(
        f'<section class="mg-card mg-waiting"><h3>{escape(column.title)}</h3></section>'
        for column in COLUMNS
        if column.name not in comparison.candidates
    )
    verdict = "" if waiting else _verdict(comparison)
    legend = f'<p class="mg-note">{_LEGEND}</p>'
    return f'<div class="mg-result">{verdict}<div class="mg-cards">{cards}{waiting}</div>{legend}</div>'


def _verdict(comparison: Comparison) -> str:
    """Return what one sees, in one paragraph of words and one of reference values."""
    defender, base = comparison.choice.defender, comparison.base
    control, merged = (comparison.candidates[name].accuracy for name in ("control", "merged"))
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
        for task in (defender, comparison.choice.partner)
    )
    return f'<p class="mg-verdict" role="status">{escape(lead)}</p><p>The base model alone: {escape(reference)}.</p>'


def _same(comparison: Comparison) -> str:
    own, released = (
        comparison.candidates[name].accuracy[comparison.choice.defender] for name in ("defender", "protected")
    )
    trained = " (it was trained further)" if comparison.choice.protection == HARDENED else ""
    if own == released:
        return "as well as the original"
    return f"{_percent(released)} right, the original {_percent(own)}{trained}"


def _card(candidate: Candidate, comparison: Comparison, pictures: list[str]) -> str:
    defender = comparison.choice.defender
    tasks = (defender, comparison.choice.partner)
    bars = "".join(_bar(candidate, task, comparison.base[task]) for task in tasks)
    labels = comparison.shown.labels.tolist()
    answers = "".join(
        _answer(picture, defender, truth, answer)
        for picture, truth, answer in zip(pictures, labels, candidate.answers, strict=True)
    )
    width = "mg-short" if max(map(len, TASKS[defender].classes)) <= _SHORT else "mg-long"
    return (
        f'<section class="mg-card"><h3>{escape(candidate.column.title)}</h3>'
        f'<p class="mg-note">{escape(candidate.column.note)}</p>'
        f'{bars}<div class="mg-answers {width}">{answers}</div></section>'
    )


def _bar(candidate: Candidate, task: str, base: float) -> str:
    value = 100 * candidate.accuracy[task]
    label = f"{candidate.column.title}: accuracy on {task}"
    return (
        f'<div class="mg-score"><span>{escape(task)}</span><b data-model="{escape(candidate.column.title)}" '
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


def data_url(pixels: torch.Tensor) -> str:
    """Return a picture inside its own address. uint8 [3, 32, 32] -> PNG as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"
