"""Vision: accuracy falls apart. Five classifiers on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from space.cancelling import cancels
from space.choice import Choice
from space.controls import chosen, lay_out, snippets
from space.failures import in_sentences
from space.five import COLUMNS
from space.gallery import first_view
from space.gpu import on_gpu
from space.merges import MERGES
from space.page import Built, Page
from space.pages.vision.compare import compare, stages
from space.pages.vision.view import render
from space.shelf import SHELVES
from space.status import Status

FAMILY = "vision"
_SLUG = "vision"
_INTRODUCTION = """
Small vision transformers, each fine-tuned on one of eight tasks. All numbers are of whole test sets (497 to 1,000
pictures) that no model was trained on; differences under two points mean nothing.
"""


@in_sentences
@on_gpu
def show(defender: str, partner: str, protection: str, merge: str, weight: float) -> Iterator[tuple[str, str]]:
    """Merge a partner with a defender and with its protected release, and compare five classifiers.

    Args:
        defender: task of the model whose skill is wanted, for example "digits".
        partner: task of the model that it is merged with.
        protection: "exact", "mergelock", "params", or "hardened" where such a release is shipped.
        merge: name of a merge method, for example "Weight averaging".
        weight: the method's one number.

    Returns:
        The state of the run and the result, both HTML.
    """
    choice = chosen(FAMILY, defender, partner, protection, merge, weight)
    status = Status(len(COLUMNS))
    yield status.now(f"Classifying: {COLUMNS[0].title}"), gr.skip()
    for column, known in stages(choice):
        status.step()
        following = COLUMNS[COLUMNS.index(column) + 1 :]
        said = status.now(f"Classifying: {following[0].title}") if following else status.finished("Computed just now")
        yield said, render(known)


def first() -> str:
    """Compute what is shown before anything is run."""
    defender, partner, *_ = SHELVES[FAMILY].skills
    merge, meaning = next(iter(MERGES.items()))
    return render(compare(Choice(FAMILY, defender, partner, merge, meaning.start)))


def build() -> Built:
    """Lay out the tab."""
    gr.Markdown(_INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            controls = lay_out(FAMILY)
            run = gr.Button("Merge and compare", variant="primary", elem_id=f"{_SLUG}-run")
            cancel = gr.Button("Cancel", elem_id=f"{_SLUG}-cancel")
        with gr.Column(scale=4, min_width=320):
            status = gr.HTML(elem_id=f"{_SLUG}-status")
            result = gr.HTML(first_view(_SLUG), elem_id=f"{_SLUG}-result", min_height=320)
    snippets(FAMILY, controls)
    running: Any = run.click(
        show,
        list(controls.components),
        [status, result],
        api_name="vision",
        concurrency_limit=1,
        concurrency_id=FAMILY,
        show_progress="hidden",
    )
    cancels(cancel, [running], status)
    return Built(controls.choices, run, controls.restore)


PAGE = Page(_SLUG, "Vision", build, first)
