"""The page: `python -m space.app [--port N]` serves it on this machine and prints its address."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: it reads this once

from importlib.util import find_spec
from pathlib import Path

import click
import gradio as gr
from diffusers.utils import logging as diffusers_logging
from starlette.middleware import Middleware
from transformers.utils import logging as transformers_logging

from space.opening import Opening
from space.pages import PAGES
from space.pages.yours.model import LARGEST_BYTES
from space.share import SCRIPT, wire
from space.theme import theme

_HERE = Path(__file__).parent
STYLE = "".join(
    file.read_text(encoding="utf-8") for file in (_HERE / "style.css", *sorted(_HERE.glob("pages/*/style.css")))
)
MOST_WAITING = 40  # visitors in a queue; more are told to come back
LARGEST_UPLOAD = LARGEST_BYTES  # of one file
FILES_GO_AFTER_S = (300, 1800)  # visitors' files: looked for every five minutes, removed after half an hour

_TITLE = "MergeGuard"
_INTRODUCTION = """
# What a merge does to a protected model

Somebody fine-tunes a model and publishes it: the **defender**. Somebody else wants that skill for nothing, and merges
the defender with a model of their own, the **partner**, fine-tuned from the same base. A protected release answers as
the original does, but a merge with it no longer fits together.
"""


def build() -> gr.Blocks:
    """Lay out the page."""
    page = gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=FILES_GO_AFTER_S)
    with page:
        gr.Markdown(_INTRODUCTION, elem_id="introduction")
        built = {}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            for each in PAGES:
                with gr.Tab(each.title, id=each.slug, elem_id=f"{each.slug}-tab") as tab:
                    if each.about:
                        gr.Markdown(each.about)
                    built[each.slug] = each.build()
                tab.select(None, js=f"() => window.mergeguard.show('{each.slug}')", api_visibility="private")
        wire(page, tabs, built)
    page.queue(max_size=MOST_WAITING)
    return page


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port to serve on; by default the first free from 7860.")
@click.option("--host", help="Address to bind; by default 127.0.0.1, so that only this machine sees the page.")
@click.option("--mcp", is_flag=True, help="Offer the page's functions to language models; needs mergeguard-hub[mcp].")
def main(port: int | None, host: str | None, mcp: bool) -> None:
    """Serve the page until it is stopped."""
    if mcp and find_spec("mcp") is None:
        raise click.ClickException("--mcp needs the package mcp: pip install 'mergeguard-hub[mcp]'.")
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    page = build()
    opening = Middleware(Opening, title=_TITLE, introduction=_INTRODUCTION, pages=PAGES, style=STYLE)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css=STYLE,
        head=f"<script>{SCRIPT}</script>",
        footer_links=[],
        max_file_size=LARGEST_UPLOAD,
        mcp_server=mcp,
        show_error=True,  # sentences only: `in_sentences` keeps everything else back
        quiet=True,
        ssr_mode=False,
        app_kwargs={"middleware": [opening]},
        prevent_thread_lock=True,
    )
    print(f"MergeGuard page: {address}", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()
