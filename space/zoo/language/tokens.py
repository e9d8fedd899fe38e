"""The tokenizer of the language models: byte-level BPE trained on their own questions and answers."""

from __future__ import annotations

import random
import zlib

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from space.zoo.language.example import Draw

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
MAX_LENGTH = 256

# Digits one by one; an operator with the spaces around it; a line end with the indent after it; a word.
_PIECES = r"\d| [-+*/%=<>!]+ |\n *| ?[A-Za-z_]+| ?[^\sA-Za-z_\d]+|\s"
_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(draws: tuple[Draw, ...], *, size: int, examples_each: int = 3000) -> PreTrainedTokenizerFast:
    """Train a tokenizer on drawn examples; the same every time.

    Args:
        draws: kinds of examples.
        size: of the vocabulary, at most.
        examples_each: number of examples of each kind.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    source = random.Random(zlib.crc32(b"tokenizer"))
    drawn = (draw(source) for draw in draws for _ in range(examples_each))
    tokenizer.train_from_iterator((text for one in drawn for text in (one.prompt, one.answer)), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = _TEMPLATE
    return fast
