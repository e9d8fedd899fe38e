"""Every choice is in the page's address, so that a result can be shared: `?tab=vision&defender=signs&weight=0.6`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from space.choice import LONGEST_PROMPT
from space.page import Built

SCRIPT = (Path(__file__).parent / "share.js").read_text(encoding="utf-8")
_PRESS_RUN = "() => window.mergeguard.pressRun()"


def wire(page: gr.Blocks, tabs: gr.Tabs, built: Mapping[str, Built]) -> None:
    """Keep the address up to date while choices change, and restore them from it when the page is opened.

    Args:
        page: the whole page; called inside its context.
        tabs: their ids are the keys of `built`.
        built: the tabs by slug.
    """
    for slug, tab in built.items():
        for name, component in tab.choices.items():
            script = f"(value) => {{ window.mergeguard.remember({json.dumps(slug)}, {json.dumps(name)}, value) }}"
            component.change(None, component, None, js=script, api_visibility="private", show_progress="hidden")
    opened = [(slug, name) for slug, tab in built.items() for name in tab.choices]
    outputs = [tabs, *(built[slug].choices[name] for slug, name in opened)]

    def restore(request: gr.Request) -> list[Any]:
        asked = dict(request.query_params) if request else {}
        slug = asked.pop("tab", "")
        if slug not in built:
            return [gr.skip() for _ in outputs]
        updates = updates_of(built[slug], asked)
        return [
            gr.update(selected=slug),
            *(gr.update(**updates[name]) if own == slug and name in updates else gr.skip() for own, name in opened),
        ]

    page.load(restore, None, outputs, api_visibility="private", show_progress="hidden").then(
        None, js=_PRESS_RUN, api_visibility="private"
    )


def updates_of(tab: Built, asked: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return updates for the choices of a tab, from what an address says."""
    fits = tab.restore is None  # otherwise it says what fits: the range of a weight follows the merge
    values = {
        name: accepted(tab.choices[name], text, within=fits) for name, text in asked.items() if name in tab.choices
    }
    known = {name: value for name, value in values.items() if value is not None}
    if tab.restore is not None and known:
        return tab.restore(known)
    return {name: {"value": value} for name, value in known.items()}


def accepted(component: Component, text: str, *, within: bool = True) -> Any:
    """Return the value that a choice takes from an address, or None if it does not take it.

    Args:
        component: the choice.
        text: as it stands in the address; anybody can write anything there.
        within: whether a slider's number has to be in the range that it had when the page was built.
    """
    if isinstance(component, gr.Slider | gr.Number):
        bounded = within or not isinstance(component, gr.Slider)
        return _number(text, *((component.minimum, component.maximum) if bounded else (None, None)))
    if isinstance(component, gr.Checkbox):
        return {"true": True, "false": False}.get(text)
    if isinstance(component, gr.Radio | gr.Dropdown):
        return text if text in [value for _, value in component.choices] else None
    longest = getattr(component, "max_length", None) or LONGEST_PROMPT
    return text if len(text) <= longest else None


def _number(text: str, lowest: float | None, highest: float | None) -> float | int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or (lowest is not None and value < lowest) or (highest is not None and value > highest):
        return None
    return int(value) if value.is_integer() else value
