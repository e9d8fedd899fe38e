"""The tab of the vision family: what it shows is what the library computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from space.choice import Choice
from space.pages.vision import first
from space.pages.vision.compare import Comparison, compare
from space.pages.vision.view import render
from space.zoo.vision.tasks import TASKS
from tests.space.visit import Visit

SIGNS = Choice("vision", "signs", "textures", "TIES", 1.0)


def shown(visit: Visit) -> dict[tuple[str, str], str]:
    """Return the accuracies on the page, by model and task."""
    cells = visit.page.locator("#vision-result [data-model]").all()
    return {(c.get_attribute("data-model") or "", c.get_attribute("data-task") or ""): c.inner_text() for c in cells}


def expected(comparison: Comparison) -> dict[tuple[str, str], str]:
    return {
        (candidate.column.title, task): f"{100 * accuracy:.1f}%"
        for candidate in comparison.candidates.values()
        for task, accuracy in candidate.accuracy.items()
    }


def test_the_tab_shows_what_the_library_computes(visit: Visit) -> None:
    visit.open("vision")
    visit.choose("Defender", "road signs")
    visit.choose("Partner", "textures")
    visit.choose("Merge method", "TIES")
    visit.page.wait_for_function("document.querySelector('#vision-tab input[type=range]').value == '1'")
    visit.run("vision")
    comparison = compare(SIGNS)
    assert shown(visit) == expected(comparison)
    assert len(shown(visit)) == 10
    answers = visit.page.locator("#vision-result .mg-card:nth-child(5) figcaption").all_inner_texts()
    merged = comparison.candidates["merged"]
    assert [text.split(":")[-1].strip() for text in answers] == [TASKS["signs"].classes[a] for a in merged.answers]
    right = [a == t for a, t in zip(merged.answers, comparison.shown.labels.tolist(), strict=True)]
    assert visit.page.locator("#vision-result .mg-card:nth-child(5) .mg-right").count() == sum(right)
    width, window = visit.width()
    assert width <= window
    assert "tab=vision" in visit.page.url
    assert "defender=signs" in visit.page.url


def test_a_shared_address_shows_its_result(browser: Browser, address: str) -> None:
    choices = {"defender": "signs", "partner": "textures", "merge": "TIES", "weight": "1", "protection": "mergelock"}
    visit = Visit(browser, address, tab="vision", **choices)
    visit.wait_until_done("vision")
    assert shown(visit) == expected(compare(replace(SIGNS, protection="mergelock")))
    assert visit.complaints == []
    visit.page.close()


def test_the_defender_is_never_its_own_partner(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="vision", defender="textures", partner="textures")
    visit.wait_until_done("vision")
    assert shown(visit) == expected(compare(Choice("vision", "textures", "scenes", "Weight averaging", 0.5)))
    visit.page.close()


def test_the_first_view_is_what_would_be_computed(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="vision")
    visit.page.wait_for_selector("#vision-result .mg-card")
    assert "Computed beforehand" in visit.page.locator("#vision-result").inner_text()
    assert shown(visit) == expected(compare(Choice("vision", "scenes", "aerial", "Weight averaging", 0.5)))
    assert first().count("data-model") == 10
    visit.page.close()


# The words, without a browser


def with_accuracies(comparison: Comparison, **accuracies: float) -> str:
    defender = comparison.choice.defender
    changed = {
        name: replace(candidate, accuracy={**candidate.accuracy, defender: accuracies.get(name, 0.5)})
        for name, candidate in comparison.candidates.items()
    }
    return render(replace(comparison, candidates=changed))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(Choice("vision", "digits", "textures", "Task arithmetic", 0.5))


def test_the_verdict_tells_of_a_merge_that_was_stopped(comparison: Comparison) -> None:
    text = with_accuracies(comparison, control=0.91, merged=0.123, defender=0.95, protected=0.95)
    assert "Merged with the unprotected defender, the partner reaches 91.0% on digits; " in text
    assert "merged with the protected release, 12.3%. The release itself answers as well as the original." in text


def test_the_verdict_admits_a_merge_that_was_not_stopped(comparison: Comparison) -> None:
    text = with_accuracies(comparison, control=0.91, merged=0.9)
    assert "reaches 90.0% on digits, more than the base model: at this setting the protection does not keep" in text


def test_the_verdict_claims_nothing_when_the_control_fails_too(comparison: Comparison) -> None:
    text = with_accuracies(comparison, control=0.1, merged=0.1)
    assert "At this setting even the merge of unprotected models knows no more about digits than the base" in text
