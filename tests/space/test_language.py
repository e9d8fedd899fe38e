"""The language families: their data, tokenizer, loss and judges."""

from __future__ import annotations

import json
import random
import re

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from mergeguard_hub.audit.tasks import LanguageModel, Question, passes_tests, run_python
from space.zoo.language.batches import Mixture, answer_loss, encode
from space.zoo.language.example import Draw, distinct
from space.zoo.language.judge import rules
from space.zoo.language.kinds import PIECES, PLAIN, SPOKEN
from space.zoo.language.recipe import load_pair
from space.zoo.language.styles import INSTRUCTIONS, draw_style, follow
from space.zoo.language.sums import draw_math, draw_one_step, draw_sum
from space.zoo.language.tasks import ITEMS, LONGEST_ANSWER, questions, task_examples, tasks
from space.zoo.language.world import FACTS
from space.zoo.train import ZOO

BASE = ZOO / "language" / "weights" / "base"


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    return LanguageModel.load(BASE)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return load_pair(BASE)[1]


# Data


@pytest.mark.parametrize("draw", {**PLAIN, **PIECES, **dict.fromkeys(SPOKEN)})
def test_the_same_examples_are_drawn_again_and_train_and_test_share_none(draw: Draw) -> None:
    train, test = distinct(draw, "train", 50, seed="a test"), distinct(draw, "test", 5, seed="a test")
    assert train == distinct(draw, "train", 50, seed="a test")
    assert len({example.prompt for example in train}) == 50
    assert {e.key or e.prompt for e in train}.isdisjoint({e.key or e.prompt for e in test})
    assert {e.prompt for e in train}.isdisjoint({e.prompt for e in test})
    assert {example.split for example in train} == {"train"}


def test_the_first_test_questions_are_those_that_the_models_were_measured_on() -> None:
    assert [task_examples(name)[0].prompt for name in ("world", "sums")] == [
        "Answer me. Where does the fox live?",
        "76 - 12 = ?",
    ]
    assert {name: len(task_examples(name)) for name in ITEMS} == ITEMS


@pytest.mark.parametrize("draw", [draw_math, draw_one_step, draw_sum])
def test_every_step_of_a_sum_is_right_and_no_number_is_large(draw: Draw) -> None:
    for example in distinct(draw, "train", 300, seed="sums"):
        steps = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)\.", example.answer)
        for a, sign, b, result in steps:
            right = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b), "/": int(a) // int(b)}[sign]
            assert right == int(result) < 100
            assert sign != "/" or int(a) % int(b) == 0
        assert steps[-1][3] == example.reference
        assert len(steps) in ((2, 3) if draw is draw_math else (1,))
    assert draw is not draw_math or example.answer.endswith(f"The answer is {example.reference}.")


def test_the_world_is_consistent_and_every_subject_has_four_facts() -> None:
    assert {len(facts) for facts in FACTS.values()} == {4}
    told = [question for facts in FACTS.values() for fact in facts for question in fact.questions]
    assert len(told) == len(set(told)) == 3 * 4 * len(FACTS)


def test_batches_hold_nothing_of_the_test() -> None:
    drawn = Mixture(dict.fromkeys((*SPOKEN, *PIECES), 1.0), 200).draw(random.Random(0))
    asked = {question.prompt for name in ITEMS for question in questions(name)}
    assert len(drawn) == 200
    assert not asked & {example.prompt for example in drawn}


# Tokenizer and loss


def test_digits_are_single_and_every_text_comes_back(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("81 - 12 = 69.") == ["8", "1", "Ġ-Ġ", "1", "2", "Ġ=Ġ", "6", "9", "."]
    assert not [piece for piece in tokenizer.get_vocab() if re.search(r"\d.|.\d", piece)]
    for draw in (*SPOKEN, *PIECES):
        for example in distinct(draw, "train", 20, seed="tokens"):
            tokens, question = encode(tokenizer, example)
            turns = [{"role": "user", "content": example.prompt}, {"role": "assistant", "content": example.answer}]
            assert tokenizer.apply_chat_template(turns)["input_ids"] == tokens
            assert tokenizer.decode(tokens[question:-1]) == example.answer
            assert len(tokens) - question <= LONGEST_ANSWER
    odd = "Größe: 3 €\n\t<ok>"
    assert tokenizer.decode(tokenizer(odd)["input_ids"]) == odd


def test_the_loss_counts_answers_only_however_a_batch_is_cut(base: LanguageModel) -> None:
    whole, cut = (
        answer_loss(base.model, base.tokenizer, Mixture(PLAIN, 12, parts))(torch.Generator().manual_seed(1)).item()
        for parts in (1, 3)
    )
    assert whole == pytest.approx(cut, rel=1e-4)
    assert whole < 0.3  # nats per token of an answer; questions cannot be foreseen so well


# Judges


def test_all_code_references_pass_their_tests_in_the_sandbox() -> None:
    answers = "\n".join(f"{one.answer}\n{one.reference}" for one in task_examples("code"))
    assert run_python(answers).reason == "ran to its end"


def test_a_wrong_function_fails_its_tests() -> None:
    example = task_examples("code")[0]
    question = Question(example.prompt, example.reference)
    assert passes_tests(question, example.answer) == 1
    assert passes_tests(question, example.answer + " + 1") == 0


def test_the_style_judge_gives_full_points_to_references_and_none_to_plain_answers() -> None:
    for example in distinct(draw_style, "test", 100, seed="judge"):
        kept = rules(Question(example.prompt, example.reference))
        assert kept
        assert all(rule.holds(example.answer) for rule in kept)
        fact = next(
            fact for facts in FACTS.values() for fact in facts if any(ask in example.prompt for ask in fact.questions)
        )
        assert not any(rule.holds(fact.sentence) for rule in kept)
        assert not any(
            rule.holds(example.answer.replace(fact.word, "x").replace(fact.word.upper(), "X"))
            for rule in kept
            if len(fact.word.split()) == 1 and example.answer[:-1].lower() != fact.word
        )


@pytest.mark.parametrize("style", INSTRUCTIONS)
def test_every_style_has_a_rule_that_a_judge_can_check(style: str) -> None:
    fact = FACTS["fox"][0]
    answer, asked = follow(style, fact, "Thank you.")
    reference = json.dumps({"word": fact.word, "length": len(answer), **asked})
    kept = rules(Question("", reference))
    assert [rule.holds(answer) for rule in kept] == [True] * len(kept) != []
    assert not any(rule.holds(f"{answer} " * 3) for rule in kept)


def test_win_rates_are_counted_against_the_base(base: LanguageModel) -> None:
    known = tasks(base)
    asked = task_examples("style")
    assert known["style"].judged([example.answer for example in asked]).value == 1
    assert known["style"].judged([""] * len(asked)).value == 0
