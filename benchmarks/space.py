"""How fast the page is, in a real browser: `python -m benchmarks.space` prints a table and keeps it for docs/space.md.

The server is started anew. Times of runs are from the press of the button to the closing state, of models that were
not loaded before; the first view is the default tab with its pictures, in a window that was never opened before.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.browser import LAUNCH_FLAGS, chromium_path
from tests.space.test_load import CHOICES, VISITORS, resident_bytes, visit
from tests.space.visit import Visit, serving

RESULT = Path(__file__).parent / "results" / "space.md"
VIEWS = 7
# The last picture of the first view is there, and the browser has painted since.
PAINTED = """() => {
  const pictures = [...document.querySelectorAll("#opening img, #images-result img")];
  if (!pictures.length || !pictures.every((one) => one.complete && one.naturalWidth)) return false;
  return new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(() => painted(true))));
}"""
RUNS = {
    "images": "five pipelines, four prompts, 12 steps",
    "language": "five answers to one question, to the last token",
    "vision": "five classifiers on two whole test sets",
    "attacks": "the alignment attack, with the merges before and after it",
}


def main() -> None:
    """Measure and print."""
    before = os.getloadavg()[0]
    start = time.monotonic()
    with serving() as address, sync_playwright() as playwright:
        up_s = time.monotonic() - start
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(LAUNCH_FLAGS))
        rows = [("server up, from nothing", f"{up_s:.1f}", "15")]
        views = [_first_view(browser, address) for _ in range(VIEWS)]
        seen, built = (statistics.median(times) for times in zip(*views, strict=True))
        rows.append((f"first view, median of {VIEWS}", f"{seen:.2f}", "1"))
        rows.append(("the same with everything that can be chosen", f"{built:.2f}", ""))
        aims = {"images": "20", "language": "10"}
        rows += [(what, f"{_run(browser, address, tab):.1f}", aims.get(tab, "")) for tab, what in RUNS.items()]
        rows.append((f"page fetched while {VISITORS} visitors compute, median", f"{_under_load(address):.2f}", "1"))
        memory = f"{resident_bytes(address) / 1e6:.0f} MB"
        browser.close()
    lines = ["| | seconds | aim: under |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    facts = (
        f"{os.cpu_count()} processors ({platform.machine()}), load average {before:.1f} before; the server held "
        f"{memory} in the end."
    )
    text = "\n".join([*lines, "", facts]) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def _first_view(browser: Browser, address: str) -> tuple[float, float]:
    """Return the seconds until the pictures of the first view are painted, and until the page itself shows them."""
    start = time.monotonic()
    page = browser.new_page()
    page.goto(address, wait_until="commit")
    page.wait_for_function(PAINTED)
    seen = time.monotonic() - start
    page.wait_for_selector("#images-result img")
    page.wait_for_selector("#opening", state="detached")
    built = time.monotonic() - start
    page.close()
    return seen, built


def _run(browser: Browser, address: str, tab: str) -> float:
    seen = Visit(browser, address, tab=tab)
    seen.page.wait_for_selector(f"#{tab}-run >> visible=true")
    start = time.monotonic()
    seen.run(tab)
    seconds = time.monotonic() - start
    seen.page.close()
    return seconds


def _under_load(address: str) -> float:
    """Return how long the page itself takes while others keep the models busy."""
    asked = [CHOICES[number % len(CHOICES)] for number in range(VISITORS)]
    fetched = []
    with ThreadPoolExecutor(VISITORS) as pool:
        busy = [pool.submit(visit, address, choice) for choice in asked]
        while not all(one.done() for one in busy):
            start = time.monotonic()
            httpx.get(address, timeout=60).raise_for_status()
            httpx.get(f"{address}config", timeout=60).raise_for_status()
            fetched.append(time.monotonic() - start)
            time.sleep(0.2)
    return statistics.median(fetched)


if __name__ == "__main__":
    main()
