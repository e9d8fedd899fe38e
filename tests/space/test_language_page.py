"""The tab of the language family: what it shows is what the library computes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
import torch
from playwright.sync_api import Browser

from mergeguard_hub.audit.tasks import Question, Token
from space.choice import Choice, ChoiceError
from space.five import COLUMNS, model_of
from space.pages.language import language
from space.pages.language.chat import TURNS_KEPT, language_chat
from space.pages.language.compare import Answer, Comparison, compare, stages
from space.pages.language.questions import KnownQuestion, Verdict, examples, known
from space.pages.language.view import render, render_chat
from space.pages.language.words import lead
from space.shelf import SHELVES
from space.zoo.language.tasks import LONGEST_ANSWER, task_examples
from tests.space.visit import Visit

DEFAULT = Choice("language", "math", "code", "Weight averaging", 0.5)
CODE = Choice("language", "code", "math", "Task arithmetic", 0.5, "mergelock")
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> ${1+1} {{1+1}}"


def said(visit: Visit) -> list[str]:
    return [text.strip("\n") for text in visit.page.locator("#language-result .mg-said > span").all_text_contents()]


def answers(choice: Choice, question: str) -> list[str]:
    """Return what the library's own greedy answers are."""
    models = [model_of(choice, column.name) for column in COLUMNS]
    return [model.answer([question], max_new_tokens=LONGEST_ANSWER)[0] for model in models]


def test_the_tab_shows_what_the_library_answers(visit: Visit) -> None:
    visit.open("language")
    visit.choose("Defender", "Python from docstrings")
    visit.choose("Partner", "word problems")
    visit.choose("Protection", "mergelock: random mixes")
    visit.choose("Merge method", "Task arithmetic")
    visit.page.get_by_label("Merge weight").and_(visit.page.locator("input[type=number]:visible")).fill("0.5")
    example = task_examples("code")[0]
    visit.page.locator("#language-tab").get_by_text(f"code: {example.prompt[:20]}").click()
    visit.page.wait_for_function("document.querySelector('#language-question textarea').value.startsWith('def')")
    visit.run("language")
    expected = answers(CODE, example.prompt)
    assert said(visit) == expected
    judged = visit.page.locator("#language-result .mg-judged b").all_inner_texts()
    question = known(example.prompt)
    assert question is not None
    assert judged == ["right" if question.verdict(answer).right else "wrong" for answer in expected]
    width, window = visit.width()
    assert width <= window
    assert visit.outside == []
    assert "tab=language" in visit.page.url
    assert "question=def" in visit.page.url


def test_a_shared_address_shows_its_result_and_hostile_text_stays_text(browser: Browser, address: str) -> None:
    choices = {"defender": "style", "partner": "math", "question": HOSTILE, "model": "partner"}
    visit = Visit(browser, address, tab="language", **choices)
    visit.wait_until_done("language")
    assert visit.page.locator("#language-result .mg-asked span").inner_text() == HOSTILE
    assert said(visit) == answers(replace(DEFAULT, defender="style", partner="math"), HOSTILE)
    assert visit.page.locator("#language-result .mg-judged").all_inner_texts() == [
        "no verdict: not a question of the test set"
    ] * len(COLUMNS)
    assert visit.page.title() == "MergeGuard"
    assert visit.page.get_by_label("Talk to", exact=True).input_value() == "Partner"
    assert visit.complaints == []
    visit.page.close()


def test_the_first_view_is_what_would_be_computed(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="language")
    visit.page.wait_for_selector("#language-result .mg-card")
    assert "Computed beforehand" in visit.page.locator("#language-result").inner_text()
    question = task_examples("math")[0].prompt
    assert said(visit) == answers(DEFAULT, question)
    assert visit.page.locator("#language-result .mg-verdict").inner_text() == lead(compare(DEFAULT, question))
    visit.photograph("language-first")
    visit.page.close()


def test_a_run_that_was_cancelled_writes_no_more(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, tab="language")
    visit.page.wait_for_selector("#language-result .mg-card")
    visit.page.locator("#language-run").click()
    visit.page.wait_for_selector("#language-result .mg-caret")
    visit.page.locator("#language-cancel").click()
    visit.page.wait_for_selector("#language-status :text('Cancelled')")
    before = said(visit)
    visit.page.wait_for_timeout(1500)
    assert said(visit) == before
    assert visit.page.locator("#language-status .mg-status").inner_text() == "Cancelled"
    visit.run("language")
    assert visit.page.locator("#language-result .mg-caret").count() == 0
    visit.page.close()


def test_a_chat_is_its_visitors_own(visit: Visit, browser: Browser, address: str) -> None:
    visit.open("language")
    visit.choose("Talk to", "Defender")
    for question in ("What does the fox eat?", HOSTILE):
        visit.page.locator("#language-chat-box textarea").fill(question)
        visit.page.locator("#language-ask").click()
        visit.page.wait_for_function("document.querySelector('#language-chat-box textarea').value === ''")
    turns = visit.page.locator("#language-chat li")
    model = model_of(DEFAULT, "defender")
    for place, question in enumerate(("What does the fox eat?", HOSTILE)):
        expected = model.answer([question], max_new_tokens=LONGEST_ANSWER)[0]  # nothing of the turn before plays a part
        assert turns.nth(place).locator(".mg-said > span").text_content() == expected
    assert visit.page.title() == "MergeGuard"
    other = Visit(browser, address, tab="language")
    assert other.page.locator("#language-chat li").count() == 0
    other.page.close()
    visit.page.locator("#language-again").click()
    visit.page.wait_for_function("document.querySelectorAll('#language-chat li').length === 0")


# Without a browser


def test_every_test_question_is_known_as_a_visitor_types_it() -> None:
    for skill in SHELVES["language"].skills:
        for example in task_examples(skill):
            found = known(f" {example.prompt}\n")
            assert found is not None
            assert found.skill == skill
    assert known("What does the fox eat?") is None
    assert [example.skill for example in examples()] == ["math", "math", "code", "code", "style", "style"]


@pytest.mark.parametrize("skill", ["math", "code", "style"])
def test_a_reference_answer_is_right_and_an_empty_one_is_wrong(skill: str) -> None:
    example = task_examples(skill)[0]
    question = KnownQuestion(skill, Question(example.prompt, example.reference))
    assert question.verdict(example.answer).right
    assert not question.verdict("").right


def test_a_run_leaves_the_number_of_threads_as_it_was() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    for place, _ in enumerate(stages(DEFAULT, "2 + 2 = ?")):
        assert torch.get_num_threads() == 2
        if place > len(COLUMNS) + 1:
            break
    torch.set_num_threads(usual)


def test_a_run_that_is_closed_computes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(model_of(DEFAULT, "merged").model)
    calls: list[int] = []
    forward = module.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return forward(*args, **kwargs)

    monkeypatch.setattr(module, "forward", counted)
    running = stages(DEFAULT, "2 + 2 = ?")
    for _ in range(len(COLUMNS) + 2):
        next(running)
    assert len(calls) == 2 * len(COLUMNS)
    running.close()
    with pytest.raises(StopIteration):
        next(running)
    assert len(calls) == 2 * len(COLUMNS)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"question": "x" * 100_000}, "The question has 100,000 characters: at most 400 are taken"),
        ({"question": "  "}, "The question is empty"),
        ({"question": "ß🎉" * 200}, "The question is too long for these small models: ask a shorter one"),
        ({"defender": "../etc"}, "There is no defender '../etc'"),
        ({"weight": float("nan")}, "The merge weight is nan"),
        ({"model": "<b>"}, "There is no model '<b>': choose one of defender, partner"),
    ],
)
def test_what_is_not_offered_is_refused(wrong: dict[str, Any], words: str) -> None:
    given = {
        "defender": "math",
        "partner": "code",
        "protection": "exact",
        "merge": "TIES",
        "weight": 1.0,
        "question": "2 + 2 = ?",
    }
    pages = (
        [lambda **sent: language_chat(**{"model": "defender", **sent})]
        if "model" in wrong
        else [language, talk_of_defender]
    )
    for page in pages:
        with pytest.raises(gr.Error, match=re.escape(words)):
            list(page(**{**given, **wrong}))


def talk_of_defender(**sent: Any) -> Iterator[Any]:
    return language_chat(**{"model": "defender", **sent})


def test_a_chat_keeps_no_more_turns_than_it_says() -> None:
    turn = Comparison(DEFAULT, "hello", None, (Answer(COLUMNS[0], (Token("x", 0.5, ends=True),)),))
    *_, (_, turns, box) = language_chat(
        "math", "code", "exact", "Weight averaging", 0.5, "defender", "2 + 2 = ?", (turn,) * (TURNS_KEPT + 5)
    )
    assert len(turns) == TURNS_KEPT
    assert turns[-1].question == "2 + 2 = ?"
    assert box == ""


def test_probabilities_are_underlined_and_all_text_is_escaped() -> None:
    tokens = (Token("<b>", 0.97), Token("", 0.8), Token("é", 0.5), Token(" x", 0.2), Token("", 0.9, ends=True))
    whole = Comparison(DEFAULT, HOSTILE, None, tuple(Answer(column, tokens) for column in COLUMNS))
    for html in (render(whole), render_chat([replace(whole, answers=whole.answers[:1])])):
        assert '<span class="mg-sure" title="97%">&lt;b&gt;</span>' in html
        assert '<span class="mg-unsure" title="40%">é</span><span class="mg-unsure" title="20%"> x</span>' in html
        assert "5 tokens; mean probability 67%" in html
        assert "<script" not in html
        assert "<img" not in html


def test_an_answer_without_an_end_is_said_to_be_cut() -> None:
    tokens = (Token("a", 1.0),) * LONGEST_ANSWER
    cut = Comparison(DEFAULT, "?", None, tuple(Answer(column, tokens) for column in COLUMNS))
    assert f"72 tokens, cut after {LONGEST_ANSWER}; mean probability 100%" in render(cut)


def with_verdicts(skill: str, **right: bool) -> str:
    asked = next(example for example in examples() if example.skill == skill)
    given = {"defender": True, "protected": True, "partner": False, "control": True, "merged": False, **right}
    end = (Token("", 1.0, ends=True),)
    all_five = tuple(Answer(column, end, Verdict(given[column.name], "")) for column in COLUMNS)
    return lead(Comparison(DEFAULT, asked.question.prompt, asked, all_five))


@pytest.mark.parametrize(
    ("skill", "right", "words"),
    [
        (
            "math",
            {},
            "the partner answers this question of math rightly; merged with the protected release, it does not",
        ),
        ("math", {"merged": True}, "at this setting the protection did not keep the skill out"),
        ("math", {"control": False}, "so it shows nothing about protection: try another question or weight"),
        ("math", {"control": False, "merged": True}, "the protection did not keep the skill out"),
        ("math", {"partner": True}, "The partner by itself answers this question of math rightly, so it does not show"),
        ("code", {"partner": True}, "The merge of unprotected models answers it so that its tests pass, and the merge"),
        ("code", {"merged": True}, "the merge with the protected release still answers it so that its tests pass"),
        ("style", {}, "style, which neither the defender nor the partner was fine-tuned for: it shows nothing about"),
    ],
)
def test_the_lead_claims_what_the_verdicts_say(skill: str, right: dict[str, bool], words: str) -> None:
    assert words.lower() in with_verdicts(skill, **right).lower()


def test_the_reference_values_are_the_measured_ones() -> None:
    measured = json.loads((SHELVES["language"].folder("base").parents[1] / "results.json").read_text())["scores"]
    html = render(compare(DEFAULT, examples()[0].question.prompt))
    assert f"defender {100 * measured['math']['math']['value']:.1f}%" in html
    assert f"base model {100 * measured['base']['math']['value']:.1f}%" in html


def test_a_question_that_is_too_long_is_refused_before_anything_is_written() -> None:
    with pytest.raises(ChoiceError, match="too long for these small models"):
        compare(DEFAULT, "🎉" * 390)
