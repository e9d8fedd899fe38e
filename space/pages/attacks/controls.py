"""The choices of the tab: as on the others, with the family before them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from space import controls
from space.controls import NAMES, components
from space.page import Updates
from space.shelf import SHELVES

FIRST = "vision"
_TITLES = {"images": "Images", "language": "Language", "vision": "Vision"}


def lay_out() -> dict[str, Component]:
    """Lay out the choices where this is called, and return them by name."""
    family = gr.Radio([(title, name) for name, title in _TITLES.items()], value=FIRST, label="Family")
    own = components(controls.fitting(SHELVES[FIRST], {}))
    following = list(own[:3])

    def follow(*values: Any) -> list[Any]:
        updates = fitting(dict(zip(("family", *NAMES), values, strict=False)))
        return [gr.update(**updates[name]) for name in NAMES[:3]]

    gr.on(
        [family.input, own[0].input],  # type: ignore[attr-defined]
        follow,
        [family, *following],
        following,
        api_visibility="private",
        show_progress="hidden",
    )
    return {"family": family, **dict(zip(NAMES, own, strict=True))}


def fitting(values: dict[str, Any]) -> Updates:
    """Return updates that fit together, from as many choices as are known; see `Built.restore`."""
    family = values.get("family", FIRST)
    return {"family": {"value": family}, **controls.fitting(SHELVES[family], values)}
