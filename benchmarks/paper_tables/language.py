"""Language models from folders or the Hub, with questions and answers from JSON lines."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.paper_tables.family import LANGUAGE_METHODS, Batch, Family, Run, Training
from mergeguard_hub.audit.task_source import find_task
from mergeguard_hub.audit.tasks import LanguageModel
from mergeguard_hub.hub.source import local_folder

Draw = Callable[[int, int], Sequence[tuple[str, str]]]
"""(count, seed) -> questions with their answers."""

_IGNORED = -100


class AnswerData:
    """Questions and answers in the form in which `LanguageModel` puts questions; the loss is on answers alone."""

    def __init__(self, draws: Mapping[str, Draw], tokenizer: Any) -> None:
        self._draws, self._tokenizer = draws, tokenizer

    def batches(self, task: str, count: int, size: int, *, seed: int = 0) -> list[Batch]:
        """Return inputs and targets, int64 [size, longest - 1]; examples of like length share a batch."""
        rows = sorted((self._encoded(*pair) for pair in self._draws[task](count, seed)), key=lambda row: len(row[0]))
        found = [self._padded(rows[i : i + size]) for i in range(0, len(rows), size)]
        random.Random(seed).shuffle(found)
        return found

    def loss(self, run: Run, task: str, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of the answers' tokens, in nats."""
        logits: Tensor = run(input_ids=batch[0], use_cache=False).logits
        return cross_entropy(logits.flatten(0, 1).float(), batch[1].flatten(), ignore_index=_IGNORED)

    def _encoded(self, question: str, answer: str) -> tuple[list[int], int]:
        tokenizer, text = self._tokenizer, question
        templated = bool(tokenizer.chat_template)
        if templated:
            turns = [{"role": "user", "content": question}]
            text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        asked: list[int] = tokenizer(text, add_special_tokens=not templated)["input_ids"]
        answered: list[int] = tokenizer(answer, add_special_tokens=False)["input_ids"]
        return [*asked, *answered, tokenizer.eos_token_id], len(asked)

    def _padded(self, rows: Sequence[tuple[list[int], int]]) -> Batch:
        longest = max(len(tokens) for tokens, _ in rows)
        padding = self._tokenizer.pad_token_id or 0  # right of everything, where causal attention never looks
        inputs, targets = torch.full((len(rows), longest), padding), torch.full((len(rows), longest), _IGNORED)
        for place, (tokens, asked) in enumerate(rows):
            inputs[place, : len(tokens)] = torch.tensor(tokens)
            targets[place, asked : len(tokens)] = torch.tensor(tokens[asked:])
        return inputs[:, :-1], targets[:, 1:]


def load_causal(folder: Path) -> nn.Module:
    """Load a language model in float32."""
    model: nn.Module = LanguageModel.load(folder).model
    return model


def language_folders(base: str, tuned: Mapping[str, str], data: Mapping[str, str], tasks: Mapping[str, str]) -> Family:
    """Return a family of language models that lie in folders or on the Hub; Llama-2-7B with its fine-tunes, say.

    Weights are read in float32 on the processor, one model at a time; merges, negation and PaRaMS stream. A model of
    7 billion weights takes 28 GB to load, and stage 1 and the ranking about four and two times that.

    Args:
        base: folder or Hub id of the base model.
        tuned: task -> folder or Hub id of its fine-tune.
        data: task -> file of training examples, one JSON object with "prompt" and "answer" per line.
        tasks: task -> what scores it, see `find_task`: "lm-eval:gsm8k:exact_match,strict-match", "jsonl:FILE", ...
    """
    place = local_folder(base)
    tokenizer = LanguageModel.load(place).tokenizer
    return Family(
        title=f"{Path(base).name} and its fine-tunes",
        base=place,
        tuned={task: local_folder(source) for task, source in tuned.items()},
        tasks={task: find_task(tasks[task], model=place) for task in tuned},
        data=AnswerData({task: _lines(Path(data[task])) for task in tuned}, tokenizer),
        load=load_causal,
        wrap=lambda model: LanguageModel(model, tokenizer),
        training=Training(steps=200, learning_rate=1e-5, size=16),
        methods=LANGUAGE_METHODS,
        ranked=256,
    )


def _lines(file: Path) -> Draw:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    pairs = [(str(row["prompt"]), str(row["answer"])) for row in rows]
    return lambda count, seed: random.Random(seed).sample(pairs, min(count, len(pairs)))
