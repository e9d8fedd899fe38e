"""The card and its badge in a real browser: on a desktop and a phone, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright

from mergeguard_hub.hub import front_matter
from mergeguard_hub.hub.badge import badge_of
from mergeguard_hub.hub.card import BADGE_FILE
from tests.browser import LAUNCH_FLAGS, chromium_path
from tests.hub.cards import MEASURED, RECORD

GOLDEN = Path(__file__).parent / "golden"
# What model pages have in common: a column of text, tables that scroll by themselves, and the reader's colours.
STYLE = """
:root { color-scheme: light dark } body { font: 16px/1.6 sans-serif; max-width: 760px; margin: auto; padding: 0 16px }
table { display: block; overflow-x: auto } pre { overflow-x: auto } code { overflow-wrap: anywhere }
img { max-width: 100% }
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path(), args=list(LAUNCH_FLAGS))
        yield running
        running.close()


@pytest.fixture
def card(tmp_path: Path) -> str:
    """The address of a rendered card, its badge beside it."""
    body = front_matter.split((GOLDEN / "measured.md").read_text(encoding="utf-8"))[1]
    html = MarkdownIt("gfm-like", {"linkify": False}).render(body)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Card</title>'
    (tmp_path / "card.html").write_text(
        f'<!doctype html><html lang="en">{head}<style>{STYLE}</style>{html}', encoding="utf-8"
    )
    (tmp_path / BADGE_FILE).write_text(badge_of(RECORD, intact=True, measured=MEASURED).svg(), encoding="utf-8")
    return (tmp_path / "card.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_card_fits_and_its_badge_is_drawn(browser: Any, card: str, width: int, dark: bool) -> None:
    """Nothing is wider than the window; the badge has its size, and its sentence for who does not see it."""
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme="dark" if dark else "light")
    page.goto(card)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    badge = page.get_by_role("img", name="merge-protected: measured: worst transfer 0.07 after attacks")
    box = badge.bounding_box()
    assert box["width"] == pytest.approx(min(372, width - 32), abs=1)
    assert badge.evaluate("image => image.naturalHeight") == 20
    assert page.locator("table").count() == 2
    page.close()


def test_the_words_of_a_badge_fit_into_it(browser: Any) -> None:
    """Drawn on its own, no text reaches beyond its half."""
    page = browser.new_page()
    for intact, measured in ((True, None), (True, MEASURED), (False, None)):
        page.set_content(badge_of(RECORD, intact=intact, measured=measured).svg())
        left, right = page.locator("svg text").all()
        edge = page.locator("svg path").bounding_box()
        first, second, whole = left.bounding_box(), right.bounding_box(), page.locator("svg").bounding_box()
        assert first["x"] >= whole["x"] == edge["x"]
        assert first["x"] + first["width"] <= edge["x"] + edge["width"]
        assert second["x"] >= edge["x"] + edge["width"]
        assert second["x"] + second["width"] <= whole["x"] + whole["width"]
        assert page.get_by_role("img").count() == 1
    page.close()
