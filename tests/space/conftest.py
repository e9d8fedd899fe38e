"""The page and a browser, started once for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import LAUNCH_FLAGS, chromium_path
from tests.space.visit import Visit, serving

WINDOWS = {"desktop": (1280, 900, False), "phone": (390, 844, False), "dark": (390, 844, True)}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with serving() as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_path(), args=list(LAUNCH_FLAGS))
        yield opened
        opened.close()


@pytest.fixture(params=WINDOWS)
def visit(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Visit]:
    """A visit on a desktop, on a telephone, and on one that is set to dark."""
    width, height, dark = WINDOWS[request.param]
    made = Visit(browser, address, width=width, height=height, dark=dark)
    yield made
    made.photograph(f"{request.function.__name__}-{request.param}")
    made.page.close()
