"""What the tabs with five models side by side have in common: how they are laid out, and how their runs are told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr
from gradio.components import Component

from space.controls import NAMES, Controls
from space.five import COLUMNS, Column
from space.gallery import first_view
from space.status import Status

Chosen = TypeVar("Chosen")
Known = TypeVar("Known")


BENCH = "mg-bench"  # class of a row whose second column is what a telephone shows first


@dataclass(frozen=True)
class Bench(Generic[Chosen]):
    """Choices on the left, the result on the right.

    Attributes:
        chosen: what was laid out to choose from.
        run, cancel: the buttons below that.
        outputs: the state of a run and its result.
    """

    chosen: Chosen
    run: gr.Button
    cancel: gr.Button
    outputs: tuple[gr.HTML, gr.HTML]

    @property
    def status(self) -> gr.HTML:
        """Where the state of a run is told."""
        return self.outputs[0]


def lay_out(slug: str, press: str, choose: Callable[[], Chosen]) -> Bench[Chosen]:
    """Lay out a bench where this is called.

    Args:
        slug: of the tab.
        press: words on the button that runs it.
        choose: lays out the choices.
    """
    with gr.Row(elem_classes=BENCH):
        with gr.Column(scale=1, min_width=280):
            chosen = choose()
            run = gr.Button(press, variant="primary", elem_id=f"{slug}-run")
            cancel = gr.Button("Cancel", elem_id=f"{slug}-cancel")
        with gr.Column(scale=4, min_width=320):
            way_to_choices(slug)
            status = gr.HTML(elem_id=f"{slug}-status")
            result = gr.HTML(first_view(slug), elem_id=f"{slug}-result", min_height=320)
    return Bench(chosen, run, cancel, (status, result))


def way_to_choices(slug: str) -> None:
    """Lay out, for telephones, a button above the result that leads to the choices below it."""
    gr.HTML(
        f'<button type="button" data-to="{slug}-run">Choose for yourself</button>', padding=False, elem_classes="mg-way"
    )


def column_by_column(
    doing: str, stages: Iterator[tuple[Column, Known]], render: Callable[[Known], str]
) -> Iterator[tuple[str, Any]]:
    """Yield the state of a run and what is known, before the first of the five models and after each.

    Args:
        doing: what is done with each: "Drawing".
        stages: yields each column with all that is known up to it.
        render: turns that into HTML.
    """
    status = Status(len(COLUMNS))
    yield status.now(f"{doing}: {COLUMNS[0].title}"), gr.skip()
    for column, known in stages:
        status.step()
        following = COLUMNS[COLUMNS.index(column) + 1 :]
        said = status.now(f"{doing}: {following[0].title}") if following else status.finished("Computed just now")
        yield said, render(known)


def hub_boxes(
    family: str,
    show: Callable[..., Any],
    *,
    title: str,
    press: str,
    controls: Controls,
    asked: Sequence[Component],
    outputs: Sequence[Component],
) -> Any:
    """Lay out boxes for models of the Hub where this is called; returns the event, so that it can be cancelled.

    Args:
        family: whose models they stand in for; also the start of the button's id and of the function's name.
        show: gets the three ids, then how to protect and merge, then the values of `asked`.
        title: of the fold that they are in.
        press: words on the button.
        controls: the choices of the zoo's models.
        asked: what else a visitor chose.
        outputs: what `show` yields.
    """
    with gr.Accordion(title, open=False):
        boxes = [
            gr.Textbox(label=f"{who} on the Hub", placeholder="owner/name") for who in ("Defender", "Partner", "Base")
        ]
        button = gr.Button(press, elem_id=f"{family}-hub-run")
    own = [controls.choices[name] for name in NAMES if name not in ("defender", "partner")]
    return button.click(
        show,
        [*boxes, *own, *asked],
        list(outputs),
        api_name=f"{family}_of_the_hub",
        concurrency_limit=1,
        concurrency_id=family,
        show_progress="hidden",
    )
