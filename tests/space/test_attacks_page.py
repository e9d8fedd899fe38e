"""The tab of attacks: what it says is what the library's attack does."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from mergeguard_hub.audit import Score
from space.audits import audit_of
from space.choice import Choice
from space.pages.attacks import heat, path
from space.pages.attacks.controls import fitting
from space.pages.attacks.live import ITEMS, Attacked, Result, attacked, stages
from space.pages.attacks.view import render
from space.shelf import SHELVES
from tests.space.visit import Visit

DIGITS = Choice("vision", "digits", "vehicles", "Weight averaging", 0.5)


@pytest.fixture(scope="module")
def result() -> Result:
    *_, (_, found) = stages(DIGITS)
    return found


def test_the_attack_restores_an_exact_release_and_its_merges(result: Result) -> None:
    assert result.attacked is not None
    assert result.attacked.restored == 1.0
    after, before = result.scores["attacked"], result.scores["control"]
    assert {name: score.value for name, score in after.items()} == {name: score.value for name, score in before.items()}
    assert result.scores["merged"]["digits"].value < result.base["digits"].value
    assert "this protection does not survive the attack" in render(result)


def test_the_tab_shows_what_the_library_computes(browser: Browser, address: str, result: Result) -> None:
    visit = Visit(browser, address, tab="attacks", defender="digits", partner="vehicles")
    visit.wait_until_done("attacks")
    cells = visit.page.locator("#attacks-result [data-subject]").all()
    found = {(c.get_attribute("data-subject"), c.get_attribute("data-task")): c.inner_text().strip() for c in cells}
    rows = {"base": result.base, **result.scores}
    assert found == {
        (subject, name): f"{100 * score.value:.1f}%"
        for subject, scores in rows.items()
        for name, score in scores.items()
    }
    visit.photograph("attacks-desktop")
    visit.page.close()


def test_the_path_is_drawn_live(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, width=390, height=844, tab="attacks")
    visit.page.locator("#attacks-draw").click()
    visit.wait_until_done("attacks")
    assert "Merge path of scenes with aerial, exact" in visit.page.locator("#attacks-path").inner_text()
    width, window = visit.width()
    assert width <= window
    visit.photograph("attacks-phone")
    visit.page.close()


def test_a_path_begins_and_ends_with_its_models() -> None:
    alone = {name: path.point(DIGITS, name, path.POINTS.index(1.0)) for name in ("defender", "protected")}
    assert alone["defender"] == alone["protected"]
    partner = [path.point(DIGITS, name, path.POINTS.index(0.0)) for name in ("defender", "protected")]
    assert partner[0] == partner[1]
    middle = [path.point(DIGITS, name, path.POINTS.index(0.5))[0] for name in ("defender", "protected")]
    assert middle[0] > 0.8 > 0.3 > middle[1]


@pytest.mark.parametrize(("family", "hardened"), [*((family, False) for family in SHELVES), ("vision", True)])
def test_what_the_audit_found_is_shown_as_it_stands_there(family: str, hardened: bool) -> None:
    report = audit_of(family, hardened=hardened)
    assert report is not None
    text = heat.render(report)
    for headline in report.content["headlines"]:
        assert f"the best that a free-rider gets is {headline['worst']['joint']['value']:.2f}" in text
        assert f"of the unprotected original {headline['control']['joint']['value']:.2f}" in text
    rows, whose = path.audited(family, hardened=hardened)
    assert whose.startswith(report.content["tasks"][0]["name"])
    assert set(rows["line"]) == set(path.LINES)
    assert rows["score"].between(0, 1).all()


def test_choices_of_another_family_fit_together() -> None:
    updates = fitting({"family": "language", "defender": "digits", "partner": "math", "weight": 9.0})
    assert updates["defender"]["value"] == "math"
    assert updates["partner"]["value"] == "code"
    assert updates["weight"]["value"] == 0.5


def test_a_hardened_release_survives_what_undoes_a_rearrangement() -> None:
    *_, (_, found) = stages(Choice("vision", "scenes", "aerial", "Weight averaging", 0.5, "hardened"))
    assert found.scores["protected"]["scenes"].value > 0.9
    assert found.scores["control"]["scenes"].value > found.base["scenes"].value
    assert found.scores["attacked"]["scenes"].value <= found.base["scenes"].value
    assert "no more than the base: it survives this attack" in render(found)


def judged(after: float, control: float, base: float) -> str:
    scores = {"control": control, "protected": 1.0, "merged": 0.0, "attacked": after}
    one = {name: {"digits": score(value), "vehicles": score(0.5)} for name, value in scores.items()}
    return render(Result(DIGITS, Attacked({}, 1.0, 0.5), {"digits": score(base), "vehicles": score(0.5)}, one))


def score(value: float) -> Score:
    return Score((1.0,) * round(1000 * value) + (0.0,) * round(1000 * (1 - value)))


def test_the_verdict_follows_from_the_scores() -> None:
    assert "does not survive the attack" in judged(0.9, 0.9, 0.6)
    assert "the attack gets a part of the skill back" in judged(0.7, 0.9, 0.6)
    assert "no more than the base: it survives this attack" in judged(0.6, 0.9, 0.6)
    assert "there is nothing to compare with" in judged(0.6, 0.6, 0.6)
    assert "put 50.0% of the weights back to the bit" in judged(0.6, 0.9, 0.6)


def test_every_family_is_attacked_in_a_reasonable_time() -> None:
    assert set(ITEMS) == set(SHELVES)
    assert attacked("language", "math", "exact").restored == 1.0
