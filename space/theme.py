"""Colours and fonts of the page: the system's own font, and text dark enough to read on every ground."""

from __future__ import annotations

import gradio as gr

SYSTEM_FONT = ("system-ui", "sans-serif")
FIXED_FONT = ("ui-monospace", "monospace")


def theme() -> gr.themes.Base:
    """Return Gradio's default theme with a contrast of at least 4.5 to 1 and no font to fetch."""
    return gr.themes.Default(primary_hue="blue", font=SYSTEM_FONT, font_mono=FIXED_FONT).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_900",
        block_title_text_color_dark="*neutral_100",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )
