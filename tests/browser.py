"""Find a Chromium for the tests of the page, or get one; `python -m tests.browser` does so before pytest starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

VARIABLE = "MERGEGUARD_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# What a browser inside a container needs, and nothing that reaches for the network on its own.
LAUNCH_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserMissingError(RuntimeError):
    """No Chromium is installed and none could be had: the tests of the page fail with this sentence."""


@cache
def chromium_path() -> str:
    """Return the path of a Chromium or Chrome that starts, installing one if need be.

    Tried in this order: the environment variable MERGEGUARD_CHROMIUM, an installed Chromium or Chrome, the system's
    package manager where it may be used without asking, Playwright's own download.

    Raises:
        BrowserMissingError: none of these led to a browser that starts.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if _starts(chosen):
            return chosen
        raise BrowserMissingError(f"{VARIABLE} is set to {chosen!r}, which does not start: unset it or correct it.")
    found = _first_that_starts(_installed())
    if found is None and _install_with_the_system():
        found = _first_that_starts(_installed())
    if found is None:
        found = _first_that_starts(_downloaded_by_playwright())
    if found is None:
        raise BrowserMissingError(
            "No Chromium or Chrome is installed, and neither the system's package manager nor Playwright's download "
            f"could provide one: install Chromium, or set {VARIABLE} to the path of one."
        )
    return found


def _installed() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    yield from filter(os.path.exists, MAC_APPS)


def _first_that_starts(paths: Iterator[str]) -> str | None:
    return next(filter(_starts, paths), None)


def _starts(path: str) -> bool:
    """Tell whether `path` is a browser that answers (a stub that only advertises a package does not)."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and any(word in answer.stdout for word in ("Chromium", "Chrome"))


def _install_with_the_system() -> bool:
    """Install Chromium with apt-get (as root, or with a sudo that asks nothing) or Homebrew; tell whether it worked."""
    if sys.platform == "darwin":
        return shutil.which("brew") is not None and _runs("brew", "install", "--cask", "chromium")
    if shutil.which("apt-get") is None:
        return False
    sudo: tuple[str, ...] = ()
    if os.geteuid() != 0:
        if shutil.which("sudo") is None or not _runs("sudo", "-n", "true"):
            return False
        sudo = ("sudo", "-n")
    update = _runs(*sudo, "apt-get", "update", "-qq")
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "fonts-liberation", "chromium")
    return update and _runs(*sudo, *install)


def _downloaded_by_playwright() -> Iterator[str]:
    from playwright.sync_api import sync_playwright

    def path() -> str:
        with sync_playwright() as playwright:
            return playwright.chromium.executable_path

    if not Path(path()).exists():
        _runs(sys.executable, "-m", "playwright", "install", "chromium")
    yield path()


def _runs(*command: str) -> bool:
    """Run `command` with its output on standard error and no questions; tell whether it ended well."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment, timeout=900, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


if __name__ == "__main__":
    try:
        print(f"Browser for the tests: {chromium_path()}")  # noqa: T201
    except BrowserMissingError as error:
        sys.exit(str(error))
