"""Cancel what is running, and say so."""

from __future__ import annotations

from typing import Any

import gradio as gr

_CANCELLED = '<div class="mg-status mg-cancelled" role="status">Cancelled</div>'


def cancels(button: gr.Button, running: list[Any], status: gr.HTML) -> None:
    """Let a button end runs between two of their steps.

    Args:
        button: pressed to cancel.
        running: the events that it ends.
        status: where it is said.
    """
    # The words come after the cancelling, or the last step of the run would write over them.
    button.click(None, cancels=running, api_visibility="private", show_progress="hidden").then(
        lambda: _CANCELLED, None, status, api_visibility="private", show_progress="hidden"
    )
