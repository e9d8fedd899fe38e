"""Language: answers fall apart. Five models answer one question side by side, and a chat with one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from space.bench import hub_boxes
from space.bench import lay_out as lay_out_bench
from space.cancelling import cancels
from space.choice import checked_text, usual
from space.controls import Controls, chosen, lay_out, snippets
from space.failures import in_sentences
from space.five import COLUMNS
from space.gpu import on_gpu, other_models_welcome
from space.page import Built, Page, Updates
from space.pages.language import from_hub
from space.pages.language.chat import lay_out_chat
from space.pages.language.compare import Comparison, compare, stages
from space.pages.language.questions import examples
from space.pages.language.view import render
from space.status import Pace, Status
from space.zoo.language.tasks import LONGEST_ANSWER

FAMILY = "language"
_SLUG = "language"
_ABOUT = """
Small Llamas, each fine-tuned on one of three skills: word problems, Python from docstrings, and answering in a style.
They know a small village and nothing else. Each answer to a test question gets a verdict; of anything else ("What does
the fox eat?") judge yourself.
"""
_GAP_S = 0.1  # between two views of what is written
_STATUS_GAP_S = 1.0  # between two words on how far it is: a screen reader speaks them


@in_sentences
@on_gpu
def language(
    defender: str, partner: str, protection: str, merge: str, weight: float, question: str
) -> Iterator[tuple[Any, Any]]:
    """Merge a partner with a defender and with its protected release, and let five language models answer a question.

    Args:
        defender: skill of the model that is wanted: "math", "code" or "style".
        partner: skill of the model that it is merged with.
        protection: "exact", "mergelock", "params", or "hardened" where such a release is shipped.
        merge: name of a merge method, for example "Weight averaging".
        weight: the method's one number.
        question: what to ask, at most 400 characters.

    Returns:
        The state of the run and the answers, both HTML.
    """
    choice = chosen(FAMILY, defender, partner, protection, merge, weight)
    asked = checked_text(question, "question")
    status = Status(len(COLUMNS) + LONGEST_ANSWER + len(COLUMNS))  # models made ready, tokens, verdicts
    seen, told = Pace(_GAP_S), Pace(_STATUS_GAP_S)
    yield status.now("Preparing the models"), gr.skip()
    for comparison in stages(choice, asked):
        status.step()
        if comparison.is_whole:
            yield status.finished("Computed just now"), render(comparison)
        elif seen.due():
            yield status.now(_doing(comparison)) if told.due() else gr.skip(), render(comparison)


def _doing(comparison: Comparison) -> str:
    if all(answer.is_whole for answer in comparison.answers):
        return "Judging"
    return "Writing" if comparison.answers[0].tokens else "Preparing the models"


def first() -> str:
    """Compute what is shown before anything is run."""
    return render(compare(usual(FAMILY), _first_question()))


def build() -> Built:
    """Lay out the tab."""
    question = gr.Textbox(_first_question(), label="Question", lines=3, elem_id=f"{_SLUG}-question")
    _examples(question)
    bench = lay_out_bench(_SLUG, "Merge and ask", lambda: lay_out(FAMILY))
    controls = bench.chosen
    snippets(FAMILY, controls, asked=(question,), use=_asking)
    running: list[Any] = [
        gr.on(
            [bench.run.click, question.submit],
            language,
            [*controls.components, question],
            list(bench.outputs),
            api_name="language",
            concurrency_limit=1,
            concurrency_id=FAMILY,
            show_progress="hidden",
        )
    ]
    if other_models_welcome():
        running.append(
            hub_boxes(
                FAMILY,
                from_hub.language_of_the_hub,
                title="Models of the Hub: any fine-tunes of one language model",
                press="Fetch, merge and ask",
                controls=controls,
                asked=[question],
                outputs=bench.outputs,
            )
        )
    cancels(bench.cancel, running, bench.status)
    chat = lay_out_chat(controls)
    choices = {**controls.choices, "question": question, **chat}
    return Built(choices, bench.run, lambda values: _restored(controls, values))


def _examples(question: gr.Textbox) -> None:
    offered = examples()
    gr.Examples(
        [[example.question.prompt] for example in offered],
        question,
        label="Test questions",
        example_labels=[f"{example.skill}: {example.question.prompt}" for example in offered],
        api_visibility="private",
    )


def _restored(controls: Controls, values: dict[str, Any]) -> Updates:
    """Return updates for the choices of an address: those of the models fit together, the others stand alone."""
    own: Updates = {name: {"value": values[name]} for name in ("question", "model") if name in values}
    return {**controls.restore(values), **own}


def _first_question() -> str:
    """Return the first test question of the default defender: whatever the models say to it, it was not picked."""
    return examples()[0].question.prompt


def _asking(question: str) -> str:
    asked = checked_text(question, "question")
    return (
        "\nfrom mergeguard_hub.audit.tasks import LanguageModel\n\n"
        f"question = {asked!r}\n"
        f'print(LanguageModel.load("merged").answer([question], max_new_tokens={LONGEST_ANSWER})[0])\n'
    )


PAGE = Page(_SLUG, "Language", _ABOUT, build, first)
