"""A visit to the page in a real browser, and the server that is visited."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, ConsoleMessage, Page

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = os.environ.get("MERGEGUARD_SCREENSHOTS")  # a folder to keep them in, to be looked at
_SAYS = "MergeGuard page: "
TIMEOUT_MS = 180_000  # a busy machine takes a minute for the first merge


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[str]:
    """Start the page as a user does, on a free port, give its address, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "space.app", "--port", str(port), *options]
    surroundings = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=surroundings) as server:
        assert server.stdout is not None
        said = iter(server.stdout)  # Gradio may say something of its own first
        line = next((line for line in said if line.startswith(_SAYS)), "")
        try:
            yield line.removeprefix(_SAYS).strip()
        finally:
            server.terminate()


class Visit:
    """A visit that notes what a visitor would not see.

    Args:
        browser: opens the window.
        address: of the page.
        width, height: of the window, in pixels.
        dark: whether the visitor likes it dark.
        choices: of a shared address, for example tab="vision", defender="signs".
    """

    def __init__(
        self,
        browser: Browser,
        address: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        **choices: str,
    ) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{address}?{urlencode(choices)}" if choices else address)
        self.page.wait_for_selector("#introduction h1")
        self.page.wait_for_selector("#opening", state="detached")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # what Gradio's own parts say besides is theirs
            self.complaints.append(message.text)

    @property
    def outside(self) -> list[str]:
        """Return what was asked of other machines."""
        return [url for url in self.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]

    def open(self, slug: str) -> None:
        """Go to a tab."""
        self.page.locator(f"#{slug}-tab-button").click()
        self.page.wait_for_selector(f"#{slug}-tab >> visible=true")

    def choose(self, label: str, option: str) -> None:
        """Choose from a list in the tab that is open."""
        self.page.locator("input:visible").and_(self.page.get_by_label(label, exact=True)).click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.page.wait_for_function("!document.querySelector('[role=option]')")  # the list fades out

    def run(self, slug: str) -> None:
        """Press a tab's button and wait until its run has ended."""
        self.page.locator(f"#{slug}-run").click()
        self.wait_until_done(slug)

    def wait_until_done(self, slug: str) -> None:
        self.page.wait_for_selector(f"#{slug}-status :text('just now')")

    def width(self) -> tuple[int, int]:
        """Return how wide the page is and how much of that fits in the window."""
        return tuple(self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]"))

    def photograph(self, name: str) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
