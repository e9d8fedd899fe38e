"""Language models whose answers are known beforehand: each word is followed by the word that a table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from mergeguard_hub.audit.tasks import LanguageModel
from tests import tiny

END = "</s>"
TEMPLATE = (
    "{% for turn in messages %}user {{ turn['content'] }} {% endfor %}{% if add_generation_prompt %}bot{% endif %}"
)


def tokenizer(words: Sequence[str], *, pads: bool = True, template: str | None = None) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word; unknown words become `<unk>`."""
    names = ["<pad>", "<unk>", END, *words]
    core = Tokenizer(WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    core.pre_tokenizer = WhitespaceSplit()
    found = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", eos_token=END, pad_token="<pad>" if pads else None
    )
    found.chat_template = template
    return found


def talker(
    follows: Mapping[str, str], *, pads: bool = True, template: str | None = None, positions: int = 64
) -> LanguageModel:
    """Return a Llama whose blocks add nothing, so that the next token depends on the last one as `follows` says."""
    words = sorted({*follows, *follows.values()} - {END})
    chosen = tokenizer(words, pads=pads, template=template)
    model = tiny.llama(hidden_size=64, max_position_embeddings=positions, eos_token_id=2, bos_token_id=None)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "o_proj" in name or "down_proj" in name or "lm_head" in name:
                weight.zero_()
            elif "norm" in name:
                weight.fill_(1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(tiny.TOKENS, 64))
        for word, following in follows.items():
            before, after = chosen.convert_tokens_to_ids([word, following])
            model.lm_head.weight[after, before] = 1.0
    return LanguageModel(model, chosen)
