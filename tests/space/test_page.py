"""The page as a whole in a real browser: every tab, for every visitor, and what no visitor should see."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser

from space.pages import PAGES
from tests.space.visit import Visit

SLUGS = [page.slug for page in PAGES]
HOSTILE = ("<script>alert(1)</script>", "../../../etc/passwd", "x" * 100_000, "")


def test_the_page_prints_an_address_of_this_machine(address: str) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)


def test_every_tab_fits_its_window_says_nothing_and_asks_nobody(visit: Visit) -> None:
    for slug in [*SLUGS[1:], SLUGS[0]]:  # the first is open already, and its address would stay as it is
        visit.open(slug)
        visit.page.wait_for_timeout(300)  # plots are drawn a moment later
        visit.photograph(f"{slug}-{visit.page.viewport_size['width']}")  # type: ignore[index]
        width, window = visit.width()
        assert width <= window, slug
        visit.page.wait_for_function(f"location.search.includes('tab={slug}')")
    assert visit.complaints == []
    assert visit.outside == []
    assert visit.page.locator("h1").all_inner_texts() == ["What a merge does to a protected model"]
    assert visit.page.evaluate("document.documentElement.lang") == "en"
    assert visit.page.locator("img:not([alt])").count() == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, address: str, dark: bool) -> None:
    visit = Visit(browser, address, dark=dark)
    found = []
    for slug in SLUGS:
        visit.open(slug)
        visit.page.wait_for_timeout(500)
        violations = Axe().run(visit.page).response["violations"]
        serious = [one for one in violations if one["impact"] in ("serious", "critical")]
        found += [(slug, one["id"], node["html"][:160]) for one in serious for node in one["nodes"]]
    visit.page.close()
    assert found == []


def test_a_shared_address_opens_its_tab(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="how")
    visit.page.get_by_role("heading", name="What this does not do").wait_for()
    visit.page.close()


def test_an_address_keeps_what_the_hub_put_into_it(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="vision", __sign="of the Hub")
    visit.open("language")
    visit.page.wait_for_function("location.search.includes('tab=language')")
    assert "__sign=of+the+Hub" in visit.page.evaluate("location.search")
    assert visit.complaints == []
    visit.page.close()


def test_an_address_with_nonsense_opens_the_page(browser: Browser, address: str) -> None:
    for choices in ({"tab": "<script>"}, {"tab": "vision", "weight": "NaN", "defender": "<b>"}):
        visit = Visit(browser, address, **choices)
        visit.page.wait_for_selector("[role=tab]")
        assert visit.complaints == []
        visit.page.close()


def test_a_run_is_cancelled(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="attacks")
    visit.page.locator("#attacks-draw").click()
    visit.page.wait_for_selector("#attacks-status :text('Scoring merges')")
    visit.page.locator("#attacks-cancel").click()
    visit.page.wait_for_selector("#attacks-status :text('Cancelled')")
    visit.page.wait_for_timeout(2000)
    assert visit.page.locator("#attacks-status").inner_text().strip() == "Cancelled"
    visit.page.close()


# The same by the API


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    made = Client(address, verbose=False)
    yield made
    made.close()


def test_the_functions_are_named_and_described(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert {"/vision", "/attack", "/merge_path", "/look", "/protect"} <= set(endpoints)
    assert {endpoint for endpoint in endpoints if "lambda" in endpoint} == set()


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "path", "long", "empty"])
def test_hostile_words_are_refused_in_a_sentence(client: Client, text: str) -> None:
    with pytest.raises(AppError, match=r"There is no defender|not in the list of choices"):
        client.predict(text, "aerial", "exact", "TIES", 1.0, api_name="/vision")
    with pytest.raises(
        AppError, match=r"Give either the id|is not the id of a model|at most 400|more than .* characters"
    ):
        client.predict(text, None, api_name="/look")


@pytest.mark.parametrize("weight", ["NaN", "Infinity", "-1", "99", '"1; rm"', "[]", "null"])
def test_hostile_weights_are_refused_in_a_sentence(address: str, weight: str) -> None:
    call = f"{address}gradio_api/call/vision"
    body = (
        f'{{"data": ["scenes", "aerial", "exact", "TIES", {weight}]}}'  # by hand: a client would refuse some of these
    )
    started = httpx.post(call, content=body, headers={"Content-Type": "application/json"})
    if started.status_code == 200:
        answer = httpx.get(f"{call}/{started.json()['event_id']}", timeout=120).text
        assert "event: error" in answer
        assert "Traceback" not in answer
        assert re.search(r"merge weight|Value .* is (less|greater)|Expected a `float`", answer)
    else:
        assert 400 <= started.status_code < 500


def test_the_api_takes_what_visitors_of_the_page_may_choose(client: Client) -> None:
    state, _ = client.predict("digits", "scenes", "params", "TIES", 1.2, api_name="/vision")
    assert "Computed just now" in str(state)


def test_the_server_lives_on_and_computes(client: Client) -> None:
    state, result = client.predict("scenes", "aerial", "exact", "TIES", 1.0, api_name="/vision")
    assert "Computed just now" in str(state)
    assert str(result).count("data-model") == 10
