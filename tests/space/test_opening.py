"""The first view before the page's scripts have run: it is in the document, stands where the page puts it, and goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from space.pages import PAGES
from tests.space.conftest import WINDOWS
from tests.space.visit import Visit


@contextmanager
def without_scripts(browser: Browser, address: str, window: str) -> Iterator[Page]:
    """Open the page for a visitor whose scripts never come."""
    width, height, dark = WINDOWS[window]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page.route("**/assets/*.js", lambda route: route.abort())
    page.goto(address)
    yield page
    page.close()


@pytest.fixture(params=WINDOWS)
def opening(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    with without_scripts(browser, address, request.param) as page:
        yield page


def test_the_document_itself_shows_the_first_view(opening: Page) -> None:
    assert opening.locator("#opening h1").inner_text() == "What a merge does to a protected model"
    assert opening.locator("#opening .mg-beforehand").is_visible()
    pictures = opening.locator("#opening .mg-pictures img")
    assert pictures.count() >= 10
    assert pictures.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    assert opening.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_axe_finds_nothing_serious_in_it(opening: Page) -> None:
    violations = Axe().run(opening).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []


def test_its_tabs_are_links(opening: Page) -> None:
    links = opening.locator("#opening nav a")
    assert links.all_inner_texts() == [page.title for page in PAGES]
    links.nth(2).click()
    opening.wait_for_url("**/?tab=vision")
    assert opening.locator("#opening a[aria-current]").inner_text() == "Vision"
    assert opening.locator("#opening .mg-cards").is_visible()


@pytest.mark.parametrize("window", ["desktop", "phone"])
def test_nothing_jumps_when_the_page_is_there(browser: Browser, address: str, window: str) -> None:
    width, height, _ = WINDOWS[window]
    with without_scripts(browser, address, window) as page:
        before = _places(page, "#opening")
    visit = Visit(browser, address, width=width, height=height)
    after = _places(visit.page, "gradio-app")
    visit.page.close()
    for one, other in zip(before, after, strict=True):
        assert one == pytest.approx(other, abs=24)


def _places(page: Page, root: str) -> list[tuple[float, float]]:
    """Return where the first words and the first picture of the result stand."""
    found = [page.locator(f"{root} {part}").first.bounding_box() for part in (".mg-verdict", ".mg-pictures img")]
    return [(box["x"], box["y"]) for box in found if box]


def test_it_goes_when_the_tab_that_was_asked_for_is_built(browser: Browser, address: str) -> None:
    for slug in ("images", "language", "how"):
        visit = Visit(browser, address, tab=slug)
        assert visit.page.locator("#opening").count() == 0
        assert visit.page.locator(f"#{slug}-tab").is_visible()
        assert visit.complaints == []
        visit.page.close()


def test_it_goes_when_the_page_cannot_open_that_tab(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, body="Queue is full."))
    page.goto(f"{address}?tab=language")
    page.wait_for_selector("#opening", state="detached")
    page.locator("#language-tab-button").click()
    page.wait_for_selector("#language-result >> visible=true")
    page.close()


def test_its_links_keep_what_the_hub_put_into_the_address(browser: Browser, address: str) -> None:
    with without_scripts(browser, f"{address}?__theme=dark&__sign=x", "desktop") as page:
        page.locator("#opening nav a").nth(1).click()
        page.wait_for_url("**/?tab=language&__theme=dark&__sign=x")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", 'class="mg-pictures'),
        ("?tab=vision&__theme=dark&__sign=x", 'class="mg-cards'),
        ("?tab=how", 'data-until="how-tab"'),
        ("?utm_source=x", 'class="mg-pictures'),
        ("?tab=%3Cscript%3E", None),
        ("?tab=vision&weight=0.6", None),  # a result of its own
    ],
)
def test_which_view_it_is(address: str, query: str, shown: str | None) -> None:
    text = httpx.get(f"{address}{query}").text
    document = text[text.index("<body") :]
    assert ('id="opening"' in document) == (shown is not None)
    assert shown is None or shown in document
    assert "%3Cscript%3E" not in document


def test_everything_else_is_served_as_it_is(address: str) -> None:
    assert httpx.get(f"{address}config").json()["title"] == "MergeGuard"
    assert "opening" not in httpx.get(f"{address}theme.css").text
    assert httpx.post(address).status_code == 405
    assert httpx.get(f"{address}nowhere").status_code == 404


def test_on_a_telephone_the_result_comes_first_and_buttons_lead_to_and_fro(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, width=390, height=844, tab="vision")
    run, way = visit.page.locator("#vision-run"), visit.page.locator("#vision-tab .mg-way button")
    result = visit.page.locator("#vision-result").bounding_box()
    below = run.bounding_box()
    assert result is not None
    assert below is not None
    assert result["y"] < below["y"]
    way.click()
    visit.page.wait_for_function("document.getElementById('vision-run').getBoundingClientRect().top < innerHeight")
    run.click()
    visit.page.wait_for_function("document.getElementById('vision-status').getBoundingClientRect().top >= 0")
    visit.wait_until_done("vision")
    visit.page.close()
