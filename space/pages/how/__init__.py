"""How it works: three pictures, the limits, and where to read on."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from space.page import Built, Page

_TEXT = Path(__file__).parent / "text.md"
_PICTURES = Path(__file__).parent / "pictures.html"


def build() -> Built:
    """Lay out the tab."""
    gr.HTML(_PICTURES.read_text(encoding="utf-8"))
    gr.Markdown(_TEXT.read_text(encoding="utf-8"))
    return Built()


PAGE = Page("how", "How it works", "", build)
