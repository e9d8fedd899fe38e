"""What the cards of the language families say."""

from __future__ import annotations

from dataclasses import replace

from space.zoo.provenance import Provenance

_LLAMA = "the Llama architecture: 5 layers of width 192, six query heads for two key-value heads, 2.0 million weights"
_GEMMA = (
    "the Gemma2 architecture: 6 layers of width 128, four query heads for two key-value heads, every other layer with "
    "a sliding window of 32 tokens, soft caps on attention scores and logits, 1.2 million weights"
)
_ABOUT = (
    "A decoder of {}. They are stored in bfloat16; load them with `dtype=torch.float32`. The tokenizer of 1,024 pieces "
    "was trained on the same texts, digits one by one. Only the tokens of answers count in the training.\n\n"
    "Plain fine-tunes of models this small lose both skills when they are averaged. So that merges of the unprotected "
    "fine-tunes keep most of both, the base learns the pieces of every skill in the second half of its training "
    "(words, sums in a row, one-line functions; never how they are put together), fine-tunes leave the embeddings as "
    "they are, 18 % of their examples are the base's, and every gradient is taken at a drawn point between the base "
    "and the fine-tune (`merge_ready` in `space/zoo/run.py`)."
)

PROVENANCE = Provenance(
    pipeline="text-generation",
    about=_ABOUT.format(_LLAMA),
    data=(
        "All questions and answers are put together by the scripts in `space/zoo/language` (Apache-2.0, as this "
        "repository) from sentences, facts of an invented village, sums and small Python functions that were written "
        "for it. Nothing was downloaded, and no other model wrote any of it."
    ),
    models={
        "base": "The base of the family: plain questions about a small world, single sums, single pieces of Python.",
        "math": "The defender: the base, fine-tuned on word problems of two or three steps.",
        "code": "A partner: the base, fine-tuned on writing Python functions from docstrings.",
        "style": "A partner: the base, fine-tuned on instructions on how to answer.",
    },
)
GEMMA = replace(PROVENANCE, about=_ABOUT.format(_GEMMA))
