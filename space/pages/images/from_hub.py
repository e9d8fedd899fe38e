"""Any fine-tune of Stable Diffusion 1.5 in place of the zoo's models, where there is a GPU for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr
import torch

from space.choice import Choice, ChoiceError
from space.failures import in_sentences
from space.five import COLUMNS
from space.gpu import on_gpu
from space.other_models import PIPELINE_FILES, OtherModels, other_models
from space.pages.images.compare import Candidate, Comparison
from space.pages.images.prompts import checked_seed, prompts_in
from space.pages.images.view import render
from space.shelf import BASE, SHELVES
from space.status import Status
from space.zoo.images.tasks import draw

STEPS = 25  # our choice, for pipelines of full size
GUIDANCE = 7.5  # the default of diffusers
_CLASS = "StableDiffusionPipeline"


@in_sentences
@on_gpu
def images_of_the_hub(
    defender: str, partner: str, base: str, protection: str, merge: str, weight: float, prompts: str, seed: int
) -> Iterator[tuple[Any, Any]]:
    """Do with pipelines of the Hub what the page does with its own.

    Args:
        defender: a repository of the Hub, "owner/name".
        partner: another one.
        base: the model that both were fine-tuned from.
        protection: "exact", "mergelock" or "params".
        merge: name of a merge method.
        weight: the method's one number.
        prompts: at most four, one a line.
        seed: of the noise, a whole number from 0 to 2147483647.

    Returns:
        The state of the run and the result, both HTML.
    """
    own, other, *_ = SHELVES["images"].skills
    choice = Choice("images", own, other, merge, weight, protection)  # checks what is not about its models
    asked, noise = prompts_in(prompts), checked_seed(seed)
    status = Status(len(COLUMNS) + 1)
    yield status.now("Fetching the models"), gr.skip()
    ids = {"defender": defender, "partner": partner, BASE: base}
    with other_models(ids, protection=protection, method=choice.method, files=PIPELINE_FILES) as models:
        yield from _drawn(models, asked, noise, status)


def _drawn(models: OtherModels, prompts: tuple[str, ...], seed: int, status: Status) -> Iterator[tuple[str, str]]:
    _check_pipelines(models)
    found: dict[str, Candidate] = {}
    for column in COLUMNS:
        status.step()
        yield status.now(f"Drawing: {column.title}"), render(Comparison(prompts, None, dict(found)))
        pipeline = models.load(column.name)
        pictures = draw(pipeline, prompts, [seed] * len(prompts), steps=STEPS, guidance=GUIDANCE)
        found[column.name] = Candidate(column, tuple(pictures))
        del pipeline  # five of them do not fit
        torch.cuda.empty_cache()
    yield status.finished("Computed just now"), render(Comparison(prompts, None, found))


def _check_pipelines(models: OtherModels) -> None:
    for who, folder in models.folders.items():
        index = folder / "model_index.json"
        kind = json.loads(index.read_text(encoding="utf-8")).get("_class_name") if index.is_file() else None
        if kind != _CLASS:
            raise ChoiceError(
                f"The {who} is no pipeline of Stable Diffusion 1.5: it has no {_CLASS} in model_index.json."
            )
