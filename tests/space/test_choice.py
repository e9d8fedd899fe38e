"""What the page takes and what it refuses, and the models that it keeps."""

from __future__ import annotations

import gradio as gr
import pytest
import torch

from space.choice import LONGEST_PROMPT, Choice, ChoiceError, checked_text
from space.controls import fitting
from space.failures import in_sentences
from space.merges import MERGES
from space.page import Built
from space.share import accepted, updates_of
from space.shelf import SHELVES
from space.snippet import commands_of, python_of
from space.store import Store

GOOD = {"family": "vision", "defender": "signs", "partner": "digits", "merge": "TIES", "weight": 1.0}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"family": "../etc"}, "There is no family '../etc': choose one of images, language, vision"),
        ({"defender": "<script>"}, "There is no defender '<script>': choose one of .*digits"),
        ({"partner": "signs"}, "signs cannot be merged with itself: choose another partner"),
        ({"merge": None}, "There is no merge method 'None'"),
        ({"protection": ["exact"]}, r"There is no protection \"\['exact'\]\""),
        ({"weight": float("nan")}, "The merge weight is nan: give a number from 0 to 1.5"),
        ({"weight": "1"}, "The merge weight is '1'"),
        ({"weight": True}, "The merge weight is True"),
        ({"weight": -0.1}, "The merge weight of TIES is -0.1"),
        ({"weight": 7}, "The merge weight of TIES is 7: give a number from 0 to 1.5"),
    ],
)
def test_what_is_not_offered_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        Choice(**{**GOOD, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MERGES)
def test_each_merge_takes_every_weight_it_offers(name: str) -> None:
    for weight in (0.0, MERGES[name].start, MERGES[name].highest):
        assert Choice("vision", "signs", "digits", name, weight).method.title == name


def test_the_models_offered_are_shipped() -> None:
    for shelf in SHELVES.values():
        assert all((shelf.folder(name) / "README.md").exists() or shelf.folder(name).is_dir() for name in shelf.skills)


def test_text_is_taken_up_to_a_length() -> None:
    assert checked_text(" a cat\n", "prompt") == "a cat"
    with pytest.raises(ChoiceError, match="The prompt is empty"):
        checked_text("  ", "prompt")
    with pytest.raises(ChoiceError, match="The question has 100,000 characters: at most 400"):
        checked_text("x" * 100_000, "question")
    with pytest.raises(ChoiceError, match="The prompt is empty"):
        checked_text(None, "prompt")
    with pytest.raises(ChoiceError, match="The prompt has half a character in it"):
        checked_text("a \ud800 cat", "prompt")


def test_an_address_gives_only_what_is_offered() -> None:
    slider, choice = gr.Slider(0, 1, 0.5), gr.Dropdown([("A", "a")], value="a")
    assert [accepted(slider, text) for text in ("0.25", "1", "nan", "inf", "2", "x")] == [
        0.25,
        1,
        None,
        None,
        None,
        None,
    ]
    assert [accepted(choice, text) for text in ("a", "A", "<b>")] == ["a", None, None]
    assert accepted(gr.Checkbox(), "true") is True
    assert accepted(gr.Textbox(), "x" * (LONGEST_PROMPT + 1)) is None
    assert accepted(gr.Textbox(max_length=1000), "x" * 1000) == "x" * 1000
    assert accepted(gr.Textbox(max_length=1000), "x" * 1001) is None


def test_snippets_name_what_was_chosen() -> None:
    choice = Choice(**GOOD)  # type: ignore[arg-type]
    assert 'protect_folder("space/zoo/vision/weights/signs", "release", recipe="exact"' in python_of(choice)
    assert "Ties(" in python_of(choice)
    assert "mergeguard merge --method ties --scale 1 --base space/zoo/vision/weights/base" in commands_of(choice)
    images = Choice("images", "hero", "styles", "TIES", 1.0)
    assert "cp space/zoo/images/weights/base/vae/* merged/vae/" in commands_of(images)
    assert "vae" not in commands_of(choice) + python_of(choice)


def test_the_usual_partner_comes_first() -> None:
    assert [SHELVES["images"].partners(name)[0] for name in ("hero", "papercut")] == ["styles", "neon"]
    assert set(SHELVES["images"].partners("neon")) == {"hero", "styles", "papercut"}


def test_errors_reach_a_visitor_as_sentences(caplog: pytest.LogCaptureFixture) -> None:
    @in_sentences
    def refuse() -> None:
        raise ChoiceError("The prompt is empty: write one.")

    @in_sentences
    def break_down() -> None:
        raise ZeroDivisionError("/secret/path")

    with pytest.raises(gr.Error, match="The prompt is empty: write one."):
        refuse()
    with pytest.raises(gr.Error, match="Something went wrong that should not have") as told:
        break_down()
    assert "/secret/path" not in str(told.value)
    assert "/secret/path" in caplog.text


def test_a_store_keeps_within_its_budget() -> None:
    store = Store(budget_bytes=10_000)
    made: list[str] = []

    def make(name: str) -> torch.nn.Module:
        made.append(name)
        return torch.nn.Linear(1000, 1, bias=False)  # 4,000 bytes

    for name in ("a", "b", "a", "c", "a", "b"):
        store.get(name, lambda name=name: make(name))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]
    assert store.held_bytes == 8_000
    store.get("large", lambda: torch.nn.Linear(10_000, 1))
    assert store.held_bytes == 8_000


def test_an_address_gives_a_weight_that_its_merge_takes() -> None:
    tab = Built({"merge": gr.Dropdown(list(MERGES)), "weight": gr.Slider(0, 1, 0.5)}, restore=lambda known: known)
    assert updates_of(tab, {"merge": "TIES", "weight": "1.2"}) == {"merge": "TIES", "weight": 1.2}
    shelf = SHELVES["vision"]
    assert fitting(shelf, {"merge": "TIES", "weight": 1.2})["weight"]["value"] == 1.2
    assert fitting(shelf, {"merge": "Weight averaging", "weight": 1.2})["weight"]["value"] == 0.5
