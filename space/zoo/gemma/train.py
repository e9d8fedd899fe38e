"""The Gemma family: the language family's models as Gemma2s. `python -m space.zoo.train gemma` trains them again."""

from __future__ import annotations

from transformers import Gemma2Config, PreTrainedTokenizerFast

from space.zoo.family import Family
from space.zoo.language.measure import measure
from space.zoo.language.recipe import SECOND, Recipe
from space.zoo.language.tokens import MAX_LENGTH
from space.zoo.run import Schedule

_WINDOW = 32  # tokens that every other layer looks back; questions are longer, so that it matters


def architecture(tokenizer: PreTrainedTokenizerFast) -> Gemma2Config:
    """Return the family's architecture: 6 layers of width 128, grouped-query heads, tied embeddings.

    As in Gemma2, every other layer sees a sliding window, and attention scores and logits are capped softly.
    """
    return Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        query_pre_attn_scalar=32,
        sliding_window=_WINDOW,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )


RECIPE = Recipe(
    config=architecture,
    schedules={
        "base": Schedule(steps=1100, learning_rate=4e-3, weight_decay=0.05),
        SECOND: Schedule(steps=600, learning_rate=2.5e-3, weight_decay=0.05),
        "math": Schedule(steps=1300, learning_rate=1e-3, merge_ready=0.4),
        "style": Schedule(steps=360, learning_rate=5e-4, merge_ready=0.3),
        "code": Schedule(steps=600, learning_rate=1.5e-3, merge_ready=0.4),
    },
    batch_sizes={"base": 64, SECOND: 64, "math": 32, "style": 48, "code": 32},
)
FAMILY = Family("gemma", RECIPE.models(), measure)
