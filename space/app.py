"""The page: `python -m space.app [--port N]` serves it on this machine and prints its address."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: it reads this once

from pathlib import Path
from typing import Any

import click
import gradio as gr
from transformers.utils.logging import disable_progress_bar

from space.comparison import compare
from space.merges import MERGES
from space.theme import theme
from space.view import render
from space.zoo.vision.tasks import TASKS

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

# Gradio draws the heading of a group of choices as plain text; this makes it the group's name for screen readers.
_NAME_GROUPS = """() => document.querySelectorAll("fieldset").forEach(group =>
    group.setAttribute("aria-label", group.querySelector("[data-testid=block-info]").textContent.trim()))"""
_INTRODUCTION = """
# What a merge does to a protected model

Somebody fine-tunes a small vision model on a task and publishes it: the **defender**. Somebody else wants that skill
for nothing, and merges the defender with a model of their own, the **partner**. Both were fine-tuned from the same
base. A protected release answers as the original does, but its weights are arranged differently, so that a merge of
the two no longer fits together.
"""
_LIMITS = """
## What this protection does not do

The preset used here (`exact`) moves and scales weights in ways that cancel out inside the model. It stops merge tools
as they are. It does not stop somebody who first aligns the release to the public base model: in our experiments with
small models that took about a second, and the merge then worked as well as the unprotected one. It does not prevent
further fine-tuning, or training another model on its answers.

All numbers are computed when you press the button, on whole test sets that no model was trained on (497 to 1,000
pictures); differences under two points mean nothing. The models, their data and the script that trains them are in
`space/zoo/vision`.
"""


def show(defender: str, partner: str, merge: str, weight: float) -> str:
    """Merge a partner with a defender and with its protected release, and compare five models.

    Args:
        defender: task of the model whose skill is wanted.
        partner: task of the model that it is merged with.
        merge: name of a merge method.
        weight: the method's one number.
    """
    return render(compare(defender, partner, MERGES[merge].method(weight)))


def partners(defender: str, partner: str) -> Any:
    """Offer every other task as the partner, and keep the present one if it is among them."""
    others = [task for task in TASKS if task != defender]
    return gr.update(choices=_titled(others), value=partner if partner in others else others[0])


def weight_of(merge: str) -> Any:
    """Set the weight to what it means, and where it starts, in a merge method."""
    choice = MERGES[merge]
    return gr.update(info=choice.meaning, value=choice.start, maximum=choice.highest)


def _titled(tasks: list[str]) -> list[tuple[str, str]]:
    return [(TASKS[task].title, task) for task in tasks]


def build() -> gr.Blocks:
    """Lay out the page."""
    tasks, first_merge = list(TASKS), next(iter(MERGES))
    start = MERGES[first_merge]
    page = gr.Blocks(title="MergeGuard", analytics_enabled=False)
    with page:
        gr.Markdown(_INTRODUCTION)
        with gr.Row():
            defender = gr.Radio(_titled(tasks), value=tasks[0], label="Defender, fine-tuned on", min_width=320)
            partner = gr.Radio(_titled(tasks[1:]), value=tasks[-1], label="Partner, fine-tuned on", min_width=320)
        with gr.Row():
            merge = gr.Radio(list(MERGES), value=first_merge, label="Merge method", min_width=320)
            weight = gr.Slider(
                0, start.highest, start.start, step=0.05, label="Merge weight", info=start.meaning, min_width=320
            )
        button = gr.Button("Merge and compare", variant="primary")
        gr.Markdown("## Five models on the same pictures")
        result = gr.HTML(elem_id="result", min_height=320)
        gr.Markdown(_LIMITS)
        choices = [defender, partner, merge, weight]
        defender.input(partners, [defender, partner], partner, api_visibility="private", show_progress="hidden")
        merge.input(weight_of, merge, weight, api_visibility="private", show_progress="hidden")
        button.click(show, choices, result, api_name="compare", concurrency_limit=1, concurrency_id="models")
        page.load(js=_NAME_GROUPS)
        page.load(show, choices, result, api_visibility="private", concurrency_limit=1, concurrency_id="models")
    return page


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port to serve on; by default the first free from 7860.")
@click.option("--host", help="Address to bind; by default 127.0.0.1, so that only this machine sees the page.")
def main(port: int | None, host: str | None) -> None:
    """Serve the page until it is stopped."""
    disable_progress_bar()
    page = build()
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css=STYLE,
        footer_links=[],
        quiet=True,
        ssr_mode=False,
        prevent_thread_lock=True,
    )
    print(f"MergeGuard page: {address}", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
