"""A page of the Space: what each of its tabs gives to the frame around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

Updates = dict[str, dict[str, Any]]
"""Arguments of `gr.update` for choices, by their names."""


@dataclass(frozen=True)
class Built:
    """A tab after it was laid out.

    Attributes:
        choices: what a visitor can choose, by the name that it has in the page's address.
        run: the button that computes what the choices say; a shared address presses it. None: nothing to press.
        restore: turns the choices of an address, already accepted one by one, into updates that fit together (the
            partners that belong to a defender, for one). None: each choice gets its value.
    """

    choices: Mapping[str, Component] = field(default_factory=dict)
    run: gr.Button | None = None
    restore: Callable[[dict[str, Any]], Updates] | None = None


@dataclass(frozen=True)
class Page:
    """A tab.

    Attributes:
        slug: its name in the address, and the start of its elements' ids.
        title: on the tab.
        about: what stands above everything else on it, in Markdown.
        build: lays it out where it is called.
        first: computes what the tab shows before anything is run, as HTML; written to `space/gallery` by
            `python -m space.gallery`. None: it shows nothing that has to be computed.
    """

    slug: str
    title: str
    about: str
    build: Callable[[], Built]
    first: Callable[[], str] | None = None
