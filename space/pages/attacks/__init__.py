"""Attacks: undo a protection live, look at a merge at every weight, and read what an audit found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pandas as pd

from space.audits import audit_of
from space.bench import BENCH, way_to_choices
from space.cancelling import cancels
from space.choice import ChoiceError, usual
from space.controls import chosen
from space.failures import in_sentences
from space.gallery import first_view
from space.gpu import on_gpu
from space.page import Built, Page
from space.pages.attacks import heat, path
from space.pages.attacks.controls import FIRST, fitting, lay_out
from space.pages.attacks.live import SUBJECTS, stages
from space.pages.attacks.view import render
from space.shelf import HARDENED
from space.status import Status

_SLUG = "attacks"
_ABOUT = """
A rearranged model computes what the original computes, so whoever has the public base can look for the arrangement that
brings the release nearest to it. This is that attack, carried out on the page. What is trained to fail in merges is no
arrangement, and cannot be put back so.
"""
_DOING = {
    "base": "Attacking",
    "attack": "Scoring the merge without protection",
    "control": "Scoring the release alone",
    "protected": "Scoring the merge with it",
    "merged": "Scoring that merge after the attack",
}


@in_sentences
@on_gpu
def attack(
    family: str, defender: str, partner: str, protection: str, merge: str, weight: float
) -> Iterator[tuple[str, Any]]:
    """Align a release to the public base, and score merges before and after.

    Args:
        family: "images", "language" or "vision".
        defender: the protected model, for example "digits".
        partner: what it is merged with.
        protection: "exact", "mergelock", "params", or "hardened" where such a release is shipped.
        merge: name of a merge method.
        weight: the method's one number.

    Returns:
        The state of the run and the result, both HTML.
    """
    choice = chosen(family, defender, partner, protection, merge, weight)
    status = Status(len(SUBJECTS) + 2)
    yield status.now("Scoring the base"), gr.skip()
    for done, result in stages(choice):
        status.step()
        said = status.now(_DOING[done]) if done in _DOING else status.finished("Attacked just now")
        yield said, render(result)


@in_sentences
@on_gpu
def merge_path(family: str, defender: str, partner: str, protection: str) -> Iterator[tuple[str, Any]]:
    """Score merges from half a step before the partner to half a step beyond the defender.

    Args:
        family: "vision"; the paths of the others were measured by their audits and are shown without this.
        defender: the protected model.
        partner: what it is merged with.
        protection: "exact", "mergelock", "params", or "hardened" where such a release is shipped.

    Returns:
        The state of the run as HTML, and the rows of the plot.
    """
    choice = chosen(family, defender, partner, protection, "Weight averaging", 0.5)
    if family not in path.LIVE:
        raise ChoiceError(f"Paths are computed here for {', '.join(path.LIVE)} only; this one is from the audit.")
    status = Status(len(path.POINTS))
    yield status.now("Scoring merges"), gr.skip()
    for rows in path.live(choice):
        status.step()
        yield (
            status.now("Scoring merges") if status.done < status.steps else status.finished("Drawn just now"),
            _plot(rows, f"{defender} with {partner}, {protection}"),
        )


def first() -> str:
    """Compute what is shown before anything is run."""
    *_, (_, result) = stages(usual(FIRST))
    return render(result)


def build() -> Built:
    """Lay out the tab."""
    with gr.Row(elem_classes=BENCH):
        with gr.Column(scale=1, min_width=280):
            choices = lay_out()
            run = gr.Button("Attack it", variant="primary", elem_id=f"{_SLUG}-run")
            draw = gr.Button("Draw its merge path", elem_id=f"{_SLUG}-draw")
            cancel = gr.Button("Cancel", elem_id=f"{_SLUG}-cancel")
        with gr.Column(scale=4, min_width=320):
            way_to_choices(_SLUG)
            status = gr.HTML(elem_id=f"{_SLUG}-status")
            result = gr.HTML(first_view(_SLUG), elem_id=f"{_SLUG}-result", min_height=260)
            plot = _audited_plot(FIRST)
            gr.HTML(_legend())
    gr.Markdown("## What the audit found: every merge after every attack")
    grid = gr.HTML(heat.render(audit_of(FIRST)), elem_id=f"{_SLUG}-grid")
    components = list(choices.values())
    running = [
        run.click(
            attack,
            components,
            [status, result],
            api_name="attack",
            concurrency_limit=1,
            concurrency_id="attacks",
            show_progress="hidden",
        ),
        draw.click(
            merge_path,
            components[:4],
            [status, plot],
            api_name="merge_path",
            concurrency_limit=1,
            concurrency_id="attacks",
            show_progress="hidden",
        ),
    ]
    cancels(cancel, running, status)
    gr.on(
        [choices["family"].change, choices["protection"].change],  # type: ignore[attr-defined]
        _audited,
        [choices["family"], choices["protection"]],
        [plot, draw, grid],
        api_visibility="private",
        show_progress="hidden",
    )
    return Built(choices, run, fitting)


def _audited(family: str, protection: str) -> list[Any]:
    hardened = protection == HARDENED
    rows, whose = path.audited(family, hardened=hardened)
    label = f"{whose}, {protection if hardened else 'exact'}, from the audit"
    return [
        gr.update(value=rows, label=f"Merge path of {label}"),
        gr.update(visible=family in path.LIVE),
        heat.render(audit_of(family, hardened=hardened)),
    ]


def _audited_plot(family: str) -> gr.LinePlot:
    rows, whose = path.audited(family)
    return gr.LinePlot(
        rows,
        *path.COLUMNS[:2],
        color=path.COLUMNS[2],
        label=f"Merge path of {whose}, exact, from the audit",
        x_lim=[min(path.POINTS), max(path.POINTS)],
        y_lim=[0, 1],
        color_map=dict(path.LINES),
        colors_in_legend=[],
        color_title=" ",
        height=380,
        elem_id=f"{_SLUG}-path",
        buttons=[],
    )


def _legend() -> str:
    lines = "".join(f'<li><i style="background:{colour}"></i>{title}</li>' for title, colour in path.LINES.items())
    return f'<ul class="mg-legend">{lines}</ul><p class="mg-note">0 is the partner alone, 1 the defender alone.</p>'


def _plot(rows: pd.DataFrame, whose: str) -> Any:
    return gr.update(value=rows, label=f"Merge path of {whose}")


PAGE = Page(_SLUG, "Attacks", _ABOUT, build, first)
