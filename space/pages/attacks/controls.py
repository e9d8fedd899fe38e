"""The choices of the tab: as on the others, with the family before them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from space.controls import dropdown, partner_of, protection_of, titled, weight_of
from space.merges import MERGES
from space.page import Updates
from space.shelf import SHELVES

FIRST = "vision"
_TITLES = {"images": "Images", "language": "Language", "vision": "Vision"}


def lay_out() -> dict[str, Component]:
    """Lay out the choices where this is called, and return them by name."""
    start = fitting({"family": FIRST})
    family = gr.Radio([(title, name) for name, title in _TITLES.items()], value=FIRST, label="Family")
    defender = dropdown("Defender", **start["defender"])
    partner = dropdown("Partner", **start["partner"])
    protection = dropdown("Protection", **start["protection"])
    merge = dropdown("Merge method", choices=list(MERGES), value=start["merge"]["value"])
    weight = gr.Slider(0, step=0.05, label="Merge weight", buttons=[], **start["weight"])
    found: dict[str, Component] = {
        "family": family,
        "defender": defender,
        "partner": partner,
        "protection": protection,
        "merge": merge,
        "weight": weight,
    }
    following = [defender, partner, protection]

    def follow(*values: Any) -> list[Any]:
        updates = fitting(dict(zip(("family", "defender", "partner", "protection"), values, strict=True)))
        return [gr.update(**updates[name]) for name in ("defender", "partner", "protection")]

    gr.on(
        [family.input, defender.input],
        follow,
        [family, *following],
        following,
        api_visibility="private",
        show_progress="hidden",
    )
    merge.input(
        lambda chosen: gr.update(**weight_of(chosen, None)),
        merge,
        weight,
        api_visibility="private",
        show_progress="hidden",
    )
    return found


def fitting(values: dict[str, Any]) -> Updates:
    """Return updates that fit together, from as many choices as are known; see `Built.restore`."""
    family = values.get("family", FIRST)
    shelf = SHELVES[family]
    defender = values.get("defender") if values.get("defender") in shelf.skills else next(iter(shelf.skills))
    merge = values.get("merge", next(iter(MERGES)))
    return {
        "family": {"value": family},
        "defender": {"choices": titled(shelf, list(shelf.skills)), "value": defender},
        "partner": partner_of(shelf, str(defender), values.get("partner")),
        "protection": protection_of(shelf, str(defender), values.get("protection")),
        "merge": {"value": merge},
        "weight": weight_of(merge, values.get("weight")),
    }
