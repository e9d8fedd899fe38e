"""The five architectures of the families, each with how a model of it is made and what it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks.families.data import CLASSES, LENGTH, SIDE, TOKENS, Language, Pictures

BATCH = 16
_MASK, _MASKED = 3, 0.2  # BERT's mask token, and the fraction of tokens it hides
Loss = Callable[[torch.Generator], Tensor]

_DECODER: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LENGTH,
    "initializer_range": 0.06,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_ENCODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "initializer_range": 0.06,
}


@dataclass(frozen=True)
class Architecture:
    """A class of transformers, scaled down.

    Attributes:
        model: name of the class.
        config: name of its configuration's class.
        settings: what the configuration is made with.
        dtype: that its models are saved in.
        bases: how many base models there are, all of the same shapes.
    """

    model: str
    config: str
    settings: dict[str, Any]
    dtype: torch.dtype
    bases: int

    def build(self, seed: int) -> Any:
        """Return a model with random weights, in float32."""
        config = getattr(transformers, self.config)(**self.settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return getattr(transformers, self.model)(config)

    def load(self, folder: Any) -> Any:
        """Load a model in float32."""
        return getattr(transformers, self.model).from_pretrained(folder, dtype=torch.float32)

    def loss(self, model: Any, *, seed: int, task: int) -> Loss:
        """Return the loss of a model on a batch, drawn anew, of a language or set of pictures, or a task in it."""
        if "ViT" in self.model:
            pictures = Pictures(seed, task)

            def classify(generator: torch.Generator) -> Tensor:
                pixels, labels = pictures.draw(BATCH, generator)
                return torch.nn.functional.cross_entropy(model(pixel_values=pixels).logits, labels)

            return classify
        language = Language(seed, task)
        hidden = "MaskedLM" in self.model

        def predict(generator: torch.Generator) -> Tensor:
            text = language.sentences(BATCH, generator)
            if not hidden:
                logits = model(input_ids=text).logits[:, :-1]
                return torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
            masked = torch.rand(text.shape, generator=generator) < _MASKED
            logits = model(input_ids=text.masked_fill(masked, _MASK)).logits
            return torch.nn.functional.cross_entropy(logits[masked], text[masked])

        return predict


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("LlamaForCausalLM", "LlamaConfig", _DECODER, torch.bfloat16, 6),
    "gemma2": Architecture(
        "Gemma2ForCausalLM",
        "Gemma2Config",
        {**_DECODER, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 16},
        torch.bfloat16,
        2,
    ),
    "gpt2": Architecture(
        "GPT2LMHeadModel",
        "GPT2Config",
        {
            "vocab_size": TOKENS,
            "n_embd": 64,
            "n_inner": 160,
            "n_layer": 3,
            "n_head": 4,
            "n_positions": LENGTH,
            "initializer_range": 0.06,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        torch.bfloat16,
        3,
    ),
    "bert": Architecture(
        "BertForMaskedLM",
        "BertConfig",
        {**_ENCODER, "vocab_size": TOKENS, "max_position_embeddings": LENGTH},
        torch.float32,
        3,
    ),
    "vit": Architecture(
        "ViTForImageClassification",
        "ViTConfig",
        {**_ENCODER, "image_size": SIDE, "patch_size": 4, "num_channels": 1, "num_labels": CLASSES},
        torch.float32,
        3,
    ),
}
