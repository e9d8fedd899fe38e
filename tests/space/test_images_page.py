"""The tab of the images family: what it shows is what the library computes, and what it is not asked to it refuses."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from huggingface_hub.utils import disable_progress_bars
from PIL import Image, ImageChops
from playwright.sync_api import Browser

from space.choice import LONGEST_PROMPT, Choice, ChoiceError
from space.pages.images import first, from_hub, images
from space.pages.images.compare import Candidate, Comparison, compare
from space.pages.images.prompts import (
    LARGEST_SEED,
    MOST,
    checked_seed,
    drawing_of,
    known,
    prompts_in,
    ready,
    starting,
    wish,
)
from space.pages.images.view import data_url, render
from space.pages.images.words import lead, measured
from space.shelf import SHELVES
from space.snippet import python_of
from space.zoo.images.captions import Hero, in_part
from space.zoo.images.scorer import Scorer
from tests.space.visit import ROOT, Visit

# diffusers hands a tensor to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPT = "mirvo angry with a purple scarf in the snow"
CHOICE = Choice("images", "hero", "styles", "Task arithmetic", 0.6)
SHARED = {"merge": "Task arithmetic", "weight": "0.6", "prompts": PROMPT, "seed": "3"}


def picture_at(visit: Visit, cell: str) -> Image.Image:
    address = visit.page.locator(f"#images-result [data-cell='{cell}']").get_attribute("src") or ""
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))


def seen_at(visit: Visit, column: str, row: int = 1) -> str:
    cell = visit.page.locator(f"#images-result tbody tr:nth-child({row}) td.mg-{column} .mg-seen")
    return " ".join(cell.inner_text().split())


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(wish(CHOICE, PROMPT, 3))


def test_the_merge_shown_is_really_computed(
    browser: Browser, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = Visit(browser, address, tab="images", **SHARED)
    visit.wait_until_done("images")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space").symlink_to(ROOT / "space")
    exec(compile(python_of(CHOICE) + drawing_of(PROMPT, 3), "the script that the page shows", "exec"), {})
    expected = Image.open(tmp_path / "0.png")
    assert ImageChops.difference(picture_at(visit, "0-merged"), expected).getbbox() is None
    (seen,) = Scorer.load(SHELVES["images"].folder("scorer")).see([expected])
    assert f"hero {seen.of('subject', 'mirvo'):.2f} · angry {seen.of('expression', 'angry'):.2f}" in seen_at(
        visit, "merged"
    )
    assert visit.complaints == []
    assert visit.outside == []
    visit.page.close()


def test_the_tab_shows_five_pictures_of_every_prompt(visit: Visit) -> None:
    visit.open("images")
    visit.choose("Defender", "a paper-cut look")
    visit.page.wait_for_function("document.querySelector('#images-prompts textarea').value.includes('neon look')")
    visit.run("images")
    prompts = prompts_in(starting("papercut", "neon"))
    expected = compare(wish(Choice("images", "papercut", "neon", "Weight averaging", 0.5), "\n".join(prompts), 7))
    assert visit.page.locator("#images-result td img").count() == 5 * len(prompts)
    for column, candidate in expected.candidates.items():
        assert picture_at(visit, f"2-{column}").tobytes() == candidate.pictures[2].tobytes()
    names = visit.page.locator("#images-result tbody tr:nth-child(2) img").evaluate_all("all => all.map(i => i.alt)")
    assert names == [f"{candidate.column.title}: {prompts[1]}" for candidate in expected.candidates.values()]
    assert lead(expected, expected.wish.choice) in visit.page.locator("#images-result").inner_text()  # type: ignore[union-attr]
    width, window = visit.width()
    assert width <= window
    assert "defender=papercut" in visit.page.url
    assert visit.complaints == []


def test_the_slider_can_be_moved_with_the_keyboard_and_shows_the_row_chosen(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="images")
    slider = visit.page.get_by_label("How much of the merge without protection is uncovered, in percent")
    slider.focus()
    for _ in range(3):
        visit.page.keyboard.press("ArrowRight")
    assert slider.input_value() == "53"
    pair = visit.page.locator(".mg-over")
    assert pair.evaluate("over => over.style.getPropertyValue('--cut')") == "53%"
    visit.page.get_by_label("Prompt of the pictures over each other").select_option(index=2)
    shown = pair.locator("img").evaluate_all("all => all.map(i => [i.src, i.alt])")
    cells = [visit.page.locator(f"#images-result [data-cell='2-{name}']") for name in ("control", "merged")]
    assert shown == [[cell.get_attribute("src"), cell.get_attribute("alt")] for cell in cells]
    visit.page.close()


def test_the_first_view_is_what_would_be_computed(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="images")
    visit.page.wait_for_selector("#images-result table")
    assert "Computed beforehand" in visit.page.locator("#images-result").inner_text()
    text = starting("hero", "styles")
    expected = compare(wish(Choice("images", "hero", "styles", "Weight averaging", 0.5), text, 7))
    apart = ImageChops.difference(picture_at(visit, "0-control"), expected.candidates["control"].pictures[0])
    assert max(most for _, most in apart.getextrema()) <= 2  # of 255: it was drawn on another processor, perhaps
    assert first().count("<img") == 5 * MOST + 2
    assert len(first()) < 400_000
    visit.page.close()


def test_a_prompt_is_shown_as_it_was_written(browser: Browser, address: str) -> None:
    text = '<img src=x onerror="document.title=1"> ${alert(1)} {{x}} </script><script>document.title=2</script>'
    visit = Visit(browser, address, tab="images", **{**SHARED, "prompts": text})
    visit.wait_until_done("images")
    assert visit.page.locator("#images-result tbody th").inner_text() == text
    assert visit.page.title() == "MergeGuard"
    assert visit.complaints == []
    visit.page.close()


def test_a_run_can_be_cancelled(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="images", seed="11")
    visit.page.wait_for_selector("#images-status :text('Drawing')")
    visit.page.locator("#images-cancel").click()
    visit.page.wait_for_selector("#images-status :text('Cancelled')")
    visit.page.wait_for_timeout(2000)
    assert visit.page.locator("#images-status").inner_text().strip() == "Cancelled"
    visit.page.close()


def test_a_mistake_is_told_and_stays_marked(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="images")
    visit.page.locator("#images-tab textarea").first.fill("")
    visit.page.locator("#images-run").click()
    visit.page.locator(".toast-body", has_text="The prompt is empty").wait_for()
    assert visit.page.locator("#images-status").inner_text().strip() == "Error"
    visit.page.close()


# Without a browser


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    disable_progress_bars()
    made = Client(address, verbose=False)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prompts": "x" * 100_000}, "The prompt has 100,000 characters: at most 400"),
        ({"prompts": "a\n" * 5}, "These are 5 prompts: at most 4"),
        ({"prompts": " \n "}, "The prompt is empty"),
        ({"seed": 1.5}, "The seed is 1.5: give a whole number from 0 to 2147483647"),
        ({"seed": -1}, "less than minimum value 0|The seed is -1"),
        ({"weight": 9}, "greater than maximum value|The merge weight of Weight averaging is 9"),
        ({"protection": "none"}, "not in the list of choices|There is no protection"),
    ],
)
def test_the_api_refuses_in_a_sentence(client: Client, changed: dict[str, object], words: str) -> None:
    good = {"defender": "hero", "partner": "styles", "protection": "exact", "merge": "Weight averaging"}
    with pytest.raises(AppError, match=words):
        client.predict(**{**good, "weight": 0.5, "prompts": PROMPT, "seed": 3, **changed}, api_name="/images")


@pytest.mark.parametrize("seed", [float("nan"), float("inf"), 7.0, True, "7", None, LARGEST_SEED + 1])
def test_only_whole_numbers_are_seeds(seed: Any) -> None:
    with pytest.raises(ChoiceError, match="The seed is .*: give a whole number"):
        checked_seed(seed)
    with pytest.raises(gr.Error, match="The seed is"):
        next(iter(images("hero", "styles", "exact", "TIES", 1.0, PROMPT, seed)))


def test_prompts_are_taken_line_by_line() -> None:
    assert prompts_in(f" a cat \n\n{'x' * LONGEST_PROMPT}\n") == ("a cat", "x" * LONGEST_PROMPT)
    for text in (None, 7, ["a"]):
        with pytest.raises(ChoiceError, match="The prompt is empty"):
            prompts_in(text)


def test_the_ready_examples_are_captions_that_no_training_saw() -> None:
    for text in ready().values():
        assert len(prompts_in(text)) == MOST
        for prompt in prompts_in(text):
            shown = known()[prompt]
            assert shown.caption == prompt
            assert in_part(shown, "test") or (isinstance(shown, Hero) and shown.style is not None)


# The words


def with_counts(comparison: Comparison, **shown: int) -> str:
    """Let models show the hero in a row or not, by putting the defender's or the partner's findings in their place."""
    yes, no = comparison.candidates["defender"].seen[0], comparison.candidates["partner"].seen[0]
    changed = {
        name: replace(candidate, seen=(yes if shown.get(name, 1) else no,))
        for name, candidate in comparison.candidates.items()
    }
    return lead(replace(comparison, candidates=changed), CHOICE)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"merged": 0}, "the partner shows the hero for 1 of 1 prompt; merged with the protected release, for none."),
        ({"merged": 1}, "for 1: at this setting the protection does not keep the skill out."),
        ({"control": 0}, "even the merge of unprotected models shows the hero for none of 1 prompt, so there"),
        ({"defender": 0}, "The defender itself shows the hero for none"),
    ],
)
def test_the_lead_follows_from_what_the_scorer_saw(comparison: Comparison, shown: dict[str, int], words: str) -> None:
    assert words in with_counts(comparison, **shown)


def test_the_lead_admits_a_skill_that_is_kept_in_part(comparison: Comparison) -> None:
    yes, no = comparison.candidates["defender"].seen[0], comparison.candidates["partner"].seen[0]
    changed = {name: replace(candidate, seen=(yes, yes)) for name, candidate in comparison.candidates.items()}
    changed["merged"] = replace(changed["merged"], seen=(yes, no))
    two = replace(comparison, prompts=(PROMPT, PROMPT), candidates=changed)
    assert lead(two, CHOICE).endswith("still for 1: at this setting the protection holds in part only.")


def test_prompts_without_the_skill_claim_nothing() -> None:
    cats = compare(wish(CHOICE, "a red cat by day", 3))
    assert lead(cats, CHOICE).startswith("None of these prompts asks for what the defender was made for, the hero")
    free = replace(cats, prompts=("something else",))
    assert "hero 0.00 · " in render(free).replace("<span>", "").replace("</span>", "")


def test_the_longer_measurement_is_the_published_one() -> None:
    assert "On 48 prompts" in measured(CHOICE)
    assert "shows the hero in 62%, and the merge with it in 58%" in measured(CHOICE)  # 0.625 and 0.5833 in results.json
    assert measured(replace(CHOICE, weight=0.65)) == ""
    assert measured(replace(CHOICE, protection="mergelock")) == ""


# Models of the Hub


def test_models_of_the_hub_are_drawn_and_not_judged(monkeypatch: pytest.MonkeyPatch, comparison: Comparison) -> None:
    large = Image.new("RGB", (512, 512), (10, 200, 30))
    assert data_url(large).startswith("data:image/jpeg;base64,")
    found = {name: Candidate(each.column, (large,)) for name, each in comparison.candidates.items()}
    html = render(Comparison((PROMPT,), None, found))
    assert "nothing is said about these pictures" in html
    assert "mg-seen" not in html
    monkeypatch.setattr("space.other_models.other_models_welcome", lambda: False)
    asked = from_hub.images_of_the_hub("a/b", "a/c", "a/d", "exact", "TIES", 1.0, PROMPT, 3)
    next(asked)
    with pytest.raises(gr.Error, match="Other models need a GPU and the network"):
        next(asked)
