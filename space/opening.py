"""What a visitor sees while the page's own scripts are still loading: the first view of the tab that was asked for.

Gradio builds its page in the browser, from some ninety files. This puts the words and the pictures of the first view
into the document itself, where the page will show them, so that they are there with it; when the page has built that
tab, they go. The tabs are links meanwhile, and a visitor without scripts has all this too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from markdown_it import MarkdownIt
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.gallery import first_view
from space.page import Page

_STYLE = Path(__file__).with_name("opening.css").read_text(encoding="utf-8")
_SCRIPT = Path(__file__).with_name("opening.js").read_text(encoding="utf-8")
_BODY = re.compile(rb"<body[^>]*>")


class Opening:
    """Puts the first view into the page's document; an ASGI middleware.

    Args:
        app: what serves the page.
        title: of the document.
        introduction: what stands above the tabs, in Markdown.
        pages: the tabs; the first is open where an address names none.
        style: the page's own style sheet.
    """

    def __init__(self, app: ASGIApp, *, title: str, introduction: str, pages: Sequence[Page], style: str) -> None:
        self._app = app
        self._first = pages[0].slug
        self._head = f"<title>{escape(title)}</title><style>{style}{_STYLE}</style></head>".encode()
        self._views = {page.slug: _view(introduction, pages, page).encode() for page in pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; all but the page itself as it comes."""
        view = self._view_of(scope)
        if view is None:
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        start: Message = {}

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = _opened(b"".join(parts), self._head, view) if _is_page(start) else b"".join(parts)
            headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, collect)

    def _view_of(self, scope: Scope) -> bytes | None:
        """Return what the page that is asked for shows first; None: it is not the page, or shows something else."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            return None
        asked: Mapping[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if "tab" in asked and any(name != "tab" and not name.startswith("__") for name in asked):
            return None  # choices, whose result is not the first view
        return self._views.get(asked.get("tab", [self._first])[0])


def _view(introduction: str, pages: Sequence[Page], page: Page) -> str:
    """Return the HTML of a first view."""
    shown = first_view(page.slug)
    until = f"{page.slug}-{'result' if shown else 'tab'}"  # what the page shows in its place
    markdown = MarkdownIt()
    tabs = "".join(
        f'<a href="?tab={each.slug}"{" aria-current=page" if each is page else ""}>{escape(each.title)}</a>'
        for each in pages
    )
    return (
        f'<div id="opening" class="gradio-container" data-until="{until}"><script>{_SCRIPT}</script><div>'
        f'<header>{markdown.render(introduction)}</header><nav aria-label="Tabs">{tabs}</nav>'
        f"<section>{markdown.render(page.about)}</section>"
        f'<main><p role="status">Opening what can be chosen &hellip;</p><div>{shown}</div></main></div></div>'
        "<noscript><style>#opening [role=status] { visibility: hidden; }</style></noscript>"
    )


def _is_page(start: Message) -> bool:
    headers = dict(start["headers"])
    return start["status"] == 200 and headers.get(b"content-type", b"").startswith(b"text/html")


def _opened(document: bytes, head: bytes, view: bytes) -> bytes:
    """Return a document with something at the end of its head and at the beginning of its body."""
    return _BODY.sub(lambda found: found[0] + view, document.replace(b"</head>", head, 1), count=1)
