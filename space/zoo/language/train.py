"""The language family: small Llamas. `python -m space.zoo.train language` trains them again."""

from __future__ import annotations

from transformers import LlamaConfig, PreTrainedTokenizerFast

from space.zoo.family import Family
from space.zoo.language.measure import measure
from space.zoo.language.recipe import SECOND, Recipe
from space.zoo.language.tokens import MAX_LENGTH
from space.zoo.run import Schedule


def architecture(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Return the family's architecture: 5 layers of width 192, grouped-query heads, tied embeddings.

    Its initial weights are wider than a large model's 0.02: so small a model learns several times faster from them.
    """
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.04,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


RECIPE = Recipe(
    config=architecture,
    schedules={
        "base": Schedule(steps=2400, learning_rate=3e-3, weight_decay=0.05),
        SECOND: Schedule(steps=700, learning_rate=2e-3, weight_decay=0.05),
        "math": Schedule(steps=900, learning_rate=6e-4, merge_ready=0.4),
        "style": Schedule(steps=400, learning_rate=4e-4, merge_ready=0.3),
        "code": Schedule(steps=500, learning_rate=8e-4, merge_ready=0.4),
    },
    batch_sizes={"base": 64, SECOND: 64, "math": 32, "style": 48, "code": 32},
)
FAMILY = Family("language", RECIPE.models(), measure)
