"""A chat of one's own with one of the five; each visitor sees their own, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from space.choice import ChoiceError, checked_text
from space.controls import Controls, chosen
from space.failures import in_sentences
from space.five import COLUMNS, Column
from space.gpu import on_gpu
from space.pages.language.compare import Comparison, stages
from space.pages.language.view import render_chat
from space.status import Pace

TURNS_KEPT = 20
_FORGOTTEN_S = 3600  # after the last turn
_GAP_S = 0.1
_INTRODUCTION = """
### A chat of your own

Talk to one of the five models chosen above. They were trained on single questions, so each is put on its own: the model
sees nothing of what was said before. Nobody else sees the conversation; it is forgotten an hour after its last turn.
"""

Turns = tuple[Comparison, ...]


@in_sentences
@on_gpu
def language_chat(
    defender: str,
    partner: str,
    protection: str,
    merge: str,
    weight: float,
    model: str,
    question: str,
    turns: Turns = (),
) -> Iterator[tuple[str, Turns, Any]]:
    """Put a question to one of the five models; see `language` for the first five arguments.

    Args:
        defender: skill of the model that is wanted.
        partner: skill of the model that it is merged with.
        protection: how the defender is protected.
        merge: name of a merge method.
        weight: the method's one number.
        model: "defender", "partner", "control", "protected" or "merged".
        question: what to ask, at most 400 characters.
        turns: what was said before; the page keeps it, and no model sees it.

    Returns:
        The conversation as HTML, and an empty box for the next question.
    """
    choice = chosen("language", defender, partner, protection, merge, weight)
    asked, column, pace = checked_text(question, "question"), _column(model), Pace(_GAP_S)
    before = turns[-(TURNS_KEPT - 1) :]
    for turn in stages(choice, asked, columns=(column,)):
        if pace.due() or turn.is_whole:
            now = (*before, turn)
            yield render_chat(now), now, "" if turn.is_whole else gr.skip()


def lay_out_chat(controls: Controls) -> Mapping[str, Component]:
    """Lay out the chat where this is called; returns what can be chosen in it."""
    gr.Markdown(_INTRODUCTION)
    turns = gr.State((), time_to_live=_FORGOTTEN_S)
    model = gr.Dropdown(
        [(column.title, column.name) for column in COLUMNS], value="merged", label="Talk to", filterable=False
    )
    conversation = gr.HTML(render_chat(()), elem_id="language-chat")
    box = gr.Textbox(label="Your question", lines=2, elem_id="language-chat-box")
    with gr.Row():
        ask = gr.Button("Ask", variant="primary", elem_id="language-ask")
        stop = gr.Button("Stop", elem_id="language-stop")
        again = gr.Button("Start again", elem_id="language-again")
    running: Any = gr.on(
        [ask.click, box.submit],
        language_chat,
        [*controls.components, model, box, turns],
        [conversation, turns, box],
        api_name="language_chat",
        api_visibility="undocumented",  # what was said before is not part of a call
        concurrency_limit=1,
        concurrency_id="language",
        show_progress="hidden",
    )
    stop.click(None, cancels=[running], api_visibility="private")
    again.click(
        lambda: (render_chat(()), ()),
        None,
        [conversation, turns],
        cancels=[running],
        api_visibility="private",
        show_progress="hidden",
    )
    return {"model": model}


def _column(name: object) -> Column:
    for column in COLUMNS:
        if column.name == name:
            return column
    raise ChoiceError(f"There is no model {str(name)[:60]!r}: choose one of {', '.join(c.name for c in COLUMNS)}.")
