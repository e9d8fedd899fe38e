"""The page in a real browser: what it shows is what the library computes, on a desktop and on a telephone."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mergeguard_hub.merging import TaskArithmetic, Ties, WeightAveraging
from space.comparison import Comparison, compare
from space.merges import MERGES
from space.view import render
from space.zoo.vision.tasks import TASKS
from tests.browser import LAUNCH_FLAGS, chromium_path

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = os.environ.get("MERGEGUARD_SCREENSHOTS")  # a folder to keep them in, to be looked at
TIMEOUT_MS = 180_000  # a busy machine takes a minute for the first merge


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Start the page as a user does, on a free port, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "space.app", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            yield line.removeprefix("MergeGuard page: ").strip()
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_path(), args=list(LAUNCH_FLAGS))
        yield opened
        opened.close()


class Visit:
    """A visit to the page that notes what a visitor would not see."""

    def __init__(self, browser: Browser, address: str, *, width: int, height: int, dark: bool = False) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector(".mg-card")

    def choose(self, group: str, option: str) -> None:
        self.page.get_by_role("group", name=group).get_by_label(option, exact=True).check()

    def compare(self, defender: str) -> None:
        """Press the button and wait until the result is about this defender."""
        self.page.get_by_role("button", name="Merge and compare").click()
        self.page.wait_for_selector(f'.mg-card:first-child :text("fine-tuned on {defender}")')

    def accuracies(self) -> dict[tuple[str, str], str]:
        """Return what the page shows, by model and task."""
        cells = self.page.locator("[data-model]").all()
        return {
            (c.get_attribute("data-model") or "", c.get_attribute("data-task") or ""): c.inner_text() for c in cells
        }

    def width(self) -> tuple[int, int]:
        """Return how wide the page is and how much of that fits in the window."""
        return tuple(self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]"))

    def photograph(self, name: str) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.fixture(params=[(1280, 900, False), (390, 844, False), (390, 844, True)], ids=["desktop", "phone", "dark"])
def visit(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Visit]:
    width, height, dark = request.param
    made = Visit(browser, address, width=width, height=height, dark=dark)
    yield made
    made.photograph(f"{request.function.__name__}-{request.node.callspec.id}")
    made.page.close()


def expected(comparison: Comparison) -> dict[tuple[str, str], str]:
    return {
        (candidate.title, task): f"{100 * accuracy:.1f}%"
        for candidate in comparison.candidates
        for task, accuracy in candidate.accuracy.items()
    }


def test_the_page_prints_an_address_of_this_machine(address: str) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)


def test_the_page_shows_what_the_library_computes(visit: Visit) -> None:
    visit.choose("Defender, fine-tuned on", "road signs")
    visit.choose("Merge method", "TIES")
    visit.page.wait_for_function("document.querySelector('input[type=range]').value == '1'")
    visit.compare("signs")
    comparison = compare("signs", "textures", Ties())
    assert visit.accuracies() == expected(comparison)
    assert len(visit.accuracies()) == 10
    answers = visit.page.locator(".mg-card:nth-child(5) figcaption").all_inner_texts()
    shown = [TASKS["signs"].classes[answer] for answer in comparison.merged.answers]
    assert [text.split(":")[-1].strip() for text in answers] == shown
    right = [a == t for a, t in zip(comparison.merged.answers, comparison.shown.labels.tolist(), strict=True)]
    assert visit.page.locator(".mg-card:nth-child(5) .mg-right").count() == sum(right)


def test_the_page_fits_its_window_says_nothing_and_asks_nobody(visit: Visit) -> None:
    width, window = visit.width()
    assert width <= window
    assert visit.complaints == []
    outside = [url for url in visit.requests if not url.startswith(("http://127.0.0.1:", "data:"))]
    assert outside == []
    assert visit.page.locator("h1").all_inner_texts() == ["What a merge does to a protected model"]
    assert visit.page.evaluate("document.documentElement.lang") == "en"
    unnamed = "[...document.querySelectorAll('input')].filter(i => !i.labels.length && !i.ariaLabel).length"
    assert visit.page.evaluate(unnamed) == 0
    assert visit.page.locator("img:not([alt])").count() == 0


def test_the_defender_is_never_its_own_partner(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, width=1280, height=900)
    visit.choose("Defender, fine-tuned on", "textures")
    partners = visit.page.get_by_role("group", name="Partner, fine-tuned on")
    partners.get_by_label("textures", exact=True).wait_for(state="detached")
    visit.compare("textures")
    assert visit.accuracies() == expected(compare("textures", "scenes", WeightAveraging()))
    visit.page.close()


# The words, without a browser


def with_accuracies(comparison: Comparison, **accuracies: float) -> str:
    defender = comparison.defender
    changed = {
        field: replace(getattr(comparison, field), accuracy={**getattr(comparison, field).accuracy, defender: value})
        for field, value in accuracies.items()
    }
    return render(replace(comparison, **changed))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare("digits", "textures", TaskArithmetic(scale=0.5))


def test_the_verdict_tells_of_a_merge_that_was_stopped(comparison: Comparison) -> None:
    text = with_accuracies(comparison, control=0.91, merged=0.123, original=0.95, protected=0.95)
    assert "Merged with the unprotected defender, the partner reaches 91.0% on digits; " in text
    assert "merged with the protected release, 12.3%. The release itself answers as well as the original." in text


def test_the_verdict_admits_a_merge_that_was_not_stopped(comparison: Comparison) -> None:
    text = with_accuracies(comparison, control=0.91, merged=0.9)
    assert "reaches 90.0% on digits, more than the base model: at this setting the protection does not keep" in text


def test_the_verdict_claims_nothing_when_the_control_fails_too(comparison: Comparison) -> None:
    text = with_accuracies(comparison, control=0.1, merged=0.1)
    assert "At this setting even the merge of unprotected models knows no more about digits than the base" in text


@pytest.mark.parametrize("name", MERGES)
def test_each_merge_of_the_page_takes_every_weight_it_offers(name: str) -> None:
    choice = MERGES[name]
    for weight in (0.0, choice.start, choice.highest):
        assert choice.method(weight).title == name
