"""Language models answer what is known beforehand, whatever their tokenizer, batch and settings."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.decoders import ByteLevel
from transformers import AutoTokenizer, GenerationConfig

from mergeguard_hub.audit.tasks import AnswerTask, LanguageModel, Question, exact_number
from mergeguard_hub.errors import TaskError
from tests import tiny
from tests.audit.talkers import END, TEMPLATE, talker, tokenizer

COUNTS = {"one": "two", "two": "three", "three": END, "stop": END, "on": "on"}
WORDS = [f"w{number}" for number in range(tiny.TOKENS - 3)]


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize("pads", [True, False])
def test_answers_come_in_the_order_of_the_prompts_and_stop_at_the_end(batch_size: int, pads: bool) -> None:
    subject = talker(COUNTS, pads=pads)
    prompts = ["one", "on on on two", "stop", "on", "on one"]
    answers = subject.answer(prompts, max_new_tokens=3, batch_size=batch_size)
    assert answers == ["two three", "three", "", "on on on", "two three"]


def test_the_chat_template_makes_the_prompt_the_users_turn() -> None:
    subject = talker({"bot": "one", **COUNTS}, template=TEMPLATE)
    assert subject.answer(["on", "stop stop"], max_new_tokens=8) == ["one two three", "one two three"]


def test_nothing_to_answer() -> None:
    assert talker(COUNTS).answer([], max_new_tokens=3) == []


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "mixtral", "phi3", "flan_t5"])
def test_a_batch_answers_as_each_prompt_alone(family: str) -> None:
    subject = LanguageModel(tiny.FAMILIES[family](), tokenizer(WORDS))
    prompts = [" ".join(WORDS[start : start + length]) for start, length in ((0, 9), (20, 2), (5, 17), (40, 1))]
    alone = [subject.answer([prompt], max_new_tokens=6)[0] for prompt in prompts]
    assert subject.answer(prompts, max_new_tokens=6) == alone
    assert len(set(alone)) > 1


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "mixtral", "phi3"])
def test_a_stream_is_the_answer_token_by_token(family: str) -> None:
    subject = LanguageModel(tiny.FAMILIES[family](), tokenizer(WORDS))
    for prompt in (" ".join(WORDS[:9]), WORDS[20]):
        tokens = list(subject.stream(prompt, max_new_tokens=6))
        assert ["".join(token.text for token in tokens)] == subject.answer([prompt], max_new_tokens=6)
        asked = subject.tokenizer(prompt)["input_ids"]
        written = _greedy(subject.model, asked, 6)
        with torch.no_grad():
            chances = subject.model(torch.tensor([written])).logits[0].float().softmax(-1)
        expected = [float(chances[place - 1, written[place]]) for place in range(len(asked), len(written))]
        assert [token.probability for token in tokens] == pytest.approx(expected, rel=1e-3)


def test_the_last_token_of_a_stream_ends_it_or_nothing_does() -> None:
    subject = talker(COUNTS)
    assert [(token.text, token.ends) for token in subject.stream("one", max_new_tokens=9)] == [
        ("two", False),
        (" three", False),
        ("", True),
    ]
    assert [token.ends for token in subject.stream("on", max_new_tokens=3)] == [False] * 3


def test_a_stream_shows_no_half_of_a_character() -> None:
    pieces = [
        "\u0120",
        "\u00c3",
        "\u00b6",
        "s",
    ]  # as byte-level tokenizers spell a blank, the two bytes of an ö, and an s
    subject = talker({pieces[0]: pieces[1], pieces[1]: pieces[2], pieces[2]: pieces[3], "s": END})
    subject.tokenizer.backend_tokenizer.decoder = ByteLevel()
    texts = [token.text for token in subject.stream(pieces[0], max_new_tokens=9)]
    assert texts == ["", "ö", "s", ""]
    assert [token.text for token in subject.stream(pieces[0], max_new_tokens=1)] == ["\ufffd"]


def test_what_cannot_be_streamed_is_refused_at_the_call() -> None:
    with pytest.raises(TaskError, match="max_new_tokens is 0, and must be at least 1"):
        talker(COUNTS).stream("one", max_new_tokens=0)
    with pytest.raises(TaskError, match="The longest prompt has 3 tokens and its answer may have 8"):
        talker(COUNTS, positions=8).stream("on on on", max_new_tokens=8)
    seq2seq = LanguageModel(tiny.FAMILIES["flan_t5"](), tokenizer(WORDS))
    with pytest.raises(TaskError, match="is an encoder-decoder, which is not streamed: use `answer`"):
        seq2seq.stream("w1", max_new_tokens=3)


def _greedy(model: Any, tokens: list[int], steps: int) -> list[int]:
    """The definition of a greedy answer: no cache, no padding, no generation code."""
    with torch.no_grad():
        for _ in range(steps):
            tokens = [*tokens, int(model(torch.tensor([tokens])).logits[0, -1].argmax())]
            if tokens[-1] == 2:
                break
    return tokens


def test_answers_are_the_likeliest_tokens_whatever_the_model_asks_for() -> None:
    """A repetition penalty, sampling and beams in the model's own settings play no part, and stay as they were."""
    model, words = tiny.llama(), tokenizer(WORDS)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=3.0,
        top_p=0.5,
        repetition_penalty=9.0,
        num_beams=3,
        max_length=20,
        eos_token_id=[2, 7],
    )
    before = copy.deepcopy(model.generation_config)
    model.train()
    prompt = words("w1 w2 w3")["input_ids"]
    expected = _greedy(model.eval(), prompt, 12)[len(prompt) :]
    model.train()
    (answer,) = LanguageModel(model, words).answer(["w1 w2 w3"], max_new_tokens=12)
    assert answer.split() == words.decode(expected, skip_special_tokens=True).split()
    assert model.generation_config == before
    assert all(module.training for module in model.modules())


def test_every_token_that_the_model_ends_with_ends_an_answer() -> None:
    subject = talker({"one": "two", "two": "three", "three": "on", "on": "on"})
    three = subject.tokenizer.convert_tokens_to_ids("three")
    subject.model.generation_config = GenerationConfig(eos_token_id=[2, three])
    assert subject.answer(["one"], max_new_tokens=8) == ["two"]


@pytest.mark.parametrize("family", ["llama", "flan_t5"])
def test_a_saved_model_is_loaded_and_says_nothing(
    family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, words = tiny.FAMILIES[family](dtype=torch.bfloat16), tokenizer(WORDS, pads=False)
    model.save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, logger="transformers"):
        subject = LanguageModel.load(tmp_path)
        answers = subject.answer(["w1 w2", "w3"], max_new_tokens=4)
    assert subject.model.dtype == torch.float32
    assert answers == LanguageModel(model.float(), AutoTokenizer.from_pretrained(tmp_path)).answer(
        ["w1 w2", "w3"], max_new_tokens=4
    )
    assert caplog.messages == []


def test_a_model_that_writes_no_text_is_refused(tmp_path: Path) -> None:
    tiny.vit().save_pretrained(tmp_path)
    with pytest.raises(TaskError, match="is a ViTConfig.*does not write text; give a language model"):
        LanguageModel.load(tmp_path)


def test_too_long_is_refused() -> None:
    subject = talker(COUNTS, positions=8)
    assert subject.answer(["on on on on"], max_new_tokens=4) == ["on on on on"]
    with pytest.raises(TaskError, match="has 5 tokens and its answer may have 4, and the model has 8 positions"):
        subject.answer(["one", "on on on on on"], max_new_tokens=4)


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        ([""], {}, "The prompt '' has no tokens"),
        (["one"], {"max_new_tokens": 0}, "max_new_tokens is 0, and must be at least 1"),
        (["one"], {"batch_size": 0}, "batch_size is 0, and must be at least 1"),
    ],
)
def test_what_cannot_be_answered_is_refused(prompts: list[str], settings: dict[str, int], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        talker(COUNTS).answer(prompts, **{"max_new_tokens": 3, **settings})


def test_a_task_judges_each_answer() -> None:
    subject = talker({"four": "####", "####": "4", "4": END, "five": "6", "6": END})
    task = AnswerTask("sums", "Sums", (Question("four", "4"), Question("five", "5")), exact_number, max_new_tokens=4)
    assert task.answers(subject) == ["#### 4", "6"]
    assert task.score(subject).verdicts == (1.0, 0.0)
    assert task.score(subject, limit=1).verdicts == (1.0,)
    assert task.judged(["4", "5"]).value == 1.0
    with pytest.raises(TaskError, match="There are 3 answers to 2 questions of 'sums'"):
        task.judged(["4", "5", "6"])


def test_questions_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    lines = [{"question": "1 +\u2028 1?", "answer": 2}, {"question": "2 + 2?", "answer": "#### 4"}]
    file.write_text("\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n", encoding="utf-8")
    task = AnswerTask.from_jsonl(file, judge=exact_number, prompt="question", reference="answer", title="Sums")
    assert task.questions == (Question("1 +\u2028 1?", "2"), Question("2 + 2?", "#### 4"))
    assert (task.name, task.title) == ("sums", "Sums")


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"prompt": "1?"}'])
def test_a_bad_line_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prompt": "1?", "reference": "1"}\n' + line)
    with pytest.raises(TaskError, match=r"Line 2 of .*bad\.jsonl is no JSON object with the fields 'prompt' and"):
        AnswerTask.from_jsonl(file, judge=exact_number)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"There is no file .*none\.jsonl"):
        AnswerTask.from_jsonl(tmp_path / "none.jsonl", judge=exact_number)
