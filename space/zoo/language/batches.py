"""Batches of examples as token numbers, and the loss on the answers in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from space.zoo.language.example import Draw, Example
from space.zoo.language.tokens import ASSISTANT, END, USER

_IGNORED = -100


@dataclass(frozen=True)
class Mixture:
    """Kinds of examples and how often each is drawn.

    Attributes:
        shares: of each kind; they need not sum to 1.
        batch_size: examples per update.
        parts: a batch is sorted by length and cut into so many, so that little of it is padding.
    """

    shares: Mapping[Draw, float]
    batch_size: int
    parts: int = 3

    def draw(self, source: random.Random) -> list[Example]:
        """Draw the examples of one batch, all of the train part."""
        found: list[Example] = []
        while len(found) < self.batch_size:
            (draw,) = source.choices(tuple(self.shares), tuple(self.shares.values()))
            example = draw(source)
            if example.split == "train":
                found.append(example)
        return found


def answer_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, mixture: Mixture
) -> Callable[[torch.Generator], Tensor]:
    """Return a function that draws a batch and returns the mean cross-entropy of its answers, in nats per token."""

    def loss(generator: torch.Generator) -> Tensor:
        source = random.Random(int(torch.randint(2**62, (), generator=generator)))
        pairs = sorted((encode(tokenizer, one) for one in mixture.draw(source)), key=lambda pair: len(pair[0]))
        count = -(-len(pairs) // mixture.parts)
        parts = [_padded(pairs[i : i + count], tokenizer) for i in range(0, len(pairs), count)]
        total = torch.stack([_summed(model, inputs, targets) for inputs, targets in parts]).sum()
        return total / sum(int((targets != _IGNORED).sum()) for _, targets in parts)

    return loss


def encode(tokenizer: PreTrainedTokenizerFast, example: Example) -> tuple[list[int], int]:
    """Return an example's token numbers, in the form of the chat template, and how many belong to the question."""
    texts = tokenizer([example.prompt, example.answer], add_special_tokens=False)["input_ids"]
    user, assistant, end = tokenizer.convert_tokens_to_ids([USER, ASSISTANT, END])
    question = [user, *texts[0], assistant]
    return [*question, *texts[1], end], len(question)


def _padded(pairs: list[tuple[list[int], int]], tokenizer: PreTrainedTokenizerFast) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, int64 [n, longest - 1]; targets that are no part of an answer are ignored.

    Padding stands right of everything else, where causal attention never looks.
    """
    longest = max(len(tokens) for tokens, _ in pairs)
    inputs = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    targets = torch.full((len(pairs), longest), _IGNORED)
    for row, (tokens, question) in enumerate(pairs):
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        targets[row, question : len(tokens)] = torch.tensor(tokens[question:])
    return inputs[:, :-1], targets[:, 1:]


def _summed(model: PreTrainedModel, inputs: Tensor, targets: Tensor) -> Tensor:
    logits = model(input_ids=inputs, use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=_IGNORED, reduction="sum")
