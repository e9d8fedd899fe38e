"""Any fine-tunes of one language model of the Hub in place of the zoo's, where there is a GPU for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import torch

from mergeguard_hub.audit.tasks import LanguageModel
from space.choice import Choice, ChoiceError, checked_text
from space.failures import in_sentences
from space.five import COLUMNS
from space.gpu import on_gpu
from space.other_models import MODEL_FILES, OtherModels, other_models
from space.pages.language.compare import Answer, Comparison
from space.pages.language.view import render
from space.shelf import BASE, SHELVES
from space.status import Pace, Status
from space.zoo.language.tasks import LONGEST_ANSWER

_GAP_S = 0.2


@in_sentences
@on_gpu
def language_of_the_hub(
    defender: str, partner: str, base: str, protection: str, merge: str, weight: float, question: str
) -> Iterator[tuple[Any, Any]]:
    """Do with language models of the Hub what the page does with its own, one model after the other.

    Args:
        defender: a repository of the Hub, "owner/name".
        partner: another one.
        base: the model that both were fine-tuned from.
        protection: "exact", "mergelock" or "params".
        merge: name of a merge method.
        weight: the method's one number.
        question: what to ask, at most 400 characters.

    Returns:
        The state of the run and the answers, both HTML.
    """
    own, other, *_ = SHELVES["language"].skills
    choice = Choice("language", own, other, merge, weight, protection)  # checks what is not about its models
    asked, status = checked_text(question, "question"), Status(len(COLUMNS) + 1)
    yield status.now("Fetching the models"), gr.skip()
    ids = {"defender": defender, "partner": partner, BASE: base}
    with other_models(ids, protection=protection, method=choice.method, files=MODEL_FILES) as models:
        yield from _answered(models, asked, status)


def _answered(models: OtherModels, question: str, status: Status) -> Iterator[tuple[str, str]]:
    answers, pace = [Answer(column) for column in COLUMNS], Pace(_GAP_S)

    def now() -> str:
        return render(Comparison(None, question, None, tuple(answers)))

    for place, column in enumerate(COLUMNS):
        status.step()
        yield status.now(f"Loading and writing: {column.title}"), now()
        model = models.load(column.name)
        if not isinstance(model, LanguageModel):
            raise ChoiceError("These are not language models: give three of transformers that write text.")
        for token in model.stream(question, max_new_tokens=LONGEST_ANSWER):
            answers[place] = replace(answers[place], tokens=(*answers[place].tokens, token))
            if pace.due():
                yield gr.skip(), now()
        del model  # five of them do not fit
        torch.cuda.empty_cache()
    yield status.finished("Computed just now"), now()
