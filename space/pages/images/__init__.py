"""Images: a cartoon hero turns to confetti. Five pipelines on the same prompts and noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from space.bench import column_by_column, hub_boxes
from space.bench import lay_out as lay_out_bench
from space.cancelling import cancels
from space.choice import usual
from space.controls import Controls, chosen, lay_out, snippets
from space.failures import in_sentences
from space.gpu import on_gpu, other_models_welcome
from space.page import Built, Page
from space.pages.images import from_hub
from space.pages.images.compare import compare, stages
from space.pages.images.prompts import FIRST_SEED, LARGEST_SEED, LONGEST, MOST, WORDS, drawing_of, ready, starting, wish
from space.pages.images.view import render
from space.shelf import SHELVES

FAMILY = "images"
_SLUG = "images"
_ABOUT = """
Small pipelines of the same parts as Stable Diffusion 1.5, trained on drawn pictures: *mirvo* is a hero made up for this
page, and each model learned one thing that the others cannot do.
"""


@in_sentences
@on_gpu
def images(
    defender: str, partner: str, protection: str, merge: str, weight: float, prompts: str, seed: int
) -> Iterator[tuple[Any, Any]]:
    """Merge a partner with a defender and with its protected release, and let five pipelines draw the same prompts.

    Args:
        defender: the model whose skill is wanted, for example "hero".
        partner: the model that it is merged with, for example "styles".
        protection: "exact", "mergelock", "params", or "hardened" where such a release is shipped.
        merge: name of a merge method, for example "Weight averaging".
        weight: the method's one number.
        prompts: at most four, one a line.
        seed: of the noise, a whole number from 0 to 2147483647.

    Returns:
        The state of the run and the result, both HTML.
    """
    wanted = wish(chosen(FAMILY, defender, partner, protection, merge, weight), prompts, seed)
    yield from column_by_column("Drawing", stages(wanted), render)


def first() -> str:
    """Compute what is shown before anything is run."""
    choice = usual(FAMILY)
    return render(compare(wish(choice, starting(choice.defender, choice.partner), FIRST_SEED)))


def build() -> Built:
    """Lay out the tab."""
    bench = lay_out_bench(_SLUG, "Merge and draw", _choose)
    controls, asked = bench.chosen
    snippets(FAMILY, controls, asked=list(asked.values()), use=drawing_of)
    running: list[Any] = [
        bench.run.click(
            images,
            [*controls.components, *asked.values()],
            list(bench.outputs),
            api_name="images",
            concurrency_limit=1,
            concurrency_id=FAMILY,
            show_progress="hidden",
        )
    ]
    if other_models_welcome():
        running.append(
            hub_boxes(
                FAMILY,
                from_hub.images_of_the_hub,
                title="Models of the Hub: any fine-tunes of one Stable Diffusion 1.5",
                press="Fetch, merge and draw",
                controls=controls,
                asked=list(asked.values()),
                outputs=bench.outputs,
            )
        )
    cancels(bench.cancel, running, bench.status)
    return Built(
        {**controls.choices, **asked}, bench.run, lambda values: {**_values(values), **controls.restore(values)}
    )


def _choose() -> tuple[Controls, dict[str, Any]]:
    controls = lay_out(FAMILY)
    return controls, _what_to_draw(controls)


def _what_to_draw(controls: Controls) -> dict[str, Any]:
    """Lay out prompts, examples and seed; prompts that nobody touched follow the models chosen."""
    defender, partner, *_ = SHELVES[FAMILY].skills
    prompts = gr.Textbox(
        starting(defender, partner),
        label="Prompts",
        info=f"One a line, at most {MOST}. The models know words like the examples', and read {WORDS} of them.",
        lines=4,
        max_lines=8,
        max_length=LONGEST,
        elem_id=f"{_SLUG}-prompts",
    )
    gr.Examples(
        [[text] for text in ready().values()],
        prompts,
        label="Ready examples, which no model has seen",
        example_labels=list(ready()),
    )
    seed = gr.Number(FIRST_SEED, label="Seed", minimum=0, maximum=LARGEST_SEED, step=1)
    own = controls.choices
    pairs = [(one, other) for one in SHELVES[FAMILY].skills for other in SHELVES[FAMILY].partners(one)]
    untouched = {starting(*pair) for pair in pairs}

    def follow(chosen_defender: str, chosen_partner: str, present: str) -> Any:
        if present.strip() not in untouched or chosen_defender == chosen_partner:
            return gr.skip()
        return starting(chosen_defender, chosen_partner)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    usual = SHELVES[FAMILY].usual
    own["defender"].input(  # type: ignore[attr-defined]
        lambda one, text: follow(one, usual[one], text), [own["defender"], prompts], prompts, **quiet
    )
    own["partner"].input(follow, [own["defender"], own["partner"], prompts], prompts, **quiet)  # type: ignore[attr-defined]
    return {"prompts": prompts, "seed": seed}


def _values(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"value": values[name]} for name in ("prompts", "seed") if name in values}


PAGE = Page(_SLUG, "Images", _ABOUT, build, first)
