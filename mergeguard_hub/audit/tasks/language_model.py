"""Language models that answer: any model of transformers that generates text, with its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mergeguard_hub.audit.tasks.evaluating import evaluating
from mergeguard_hub.errors import TaskError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH_SIZE = 32  # our choice


@dataclass(frozen=True)
class Token:
    """One token of an answer, as it is written.

    Attributes:
        text: what it adds to the answer; empty for special tokens, and for all but the last token of a character.
        probability: what the model gave it, in (0, 1].
        ends: whether the model ends its answer with it.
    """

    text: str
    probability: float
    ends: bool = False


@dataclass(frozen=True)
class LanguageModel:
    """A model with its tokenizer, ready to answer.

    It takes any model of transformers with `generate`: decoders, and encoder-decoders such as T5.

    Attributes:
        model: the weights; its mode and its generation settings are left as they are.
        tokenizer: if it has a chat template, prompts become the user's turn; otherwise they are continued as they are.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(
        cls,
        path_or_id: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        revision: str | None = None,
        device: str | torch.device | None = None,
    ) -> LanguageModel:
        """Load a folder or a Hub repository with the plain classes of transformers; no code of the repository runs.

        Args:
            path_or_id: a folder, or the id of a repository on the Hub.
            dtype: float32 computes alike on every machine (our choice); bfloat16 halves the memory of large models.
            revision: of the repository.
            device: where it answers; None: the processor.

        Raises:
            TaskError: it is not a model that writes text.
        """
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        place: dict[str, Any] = {} if revision is None else {"revision": revision}
        config = AutoConfig.from_pretrained(path_or_id, **place)
        kind = AutoModelForSeq2SeqLM if getattr(config, "is_encoder_decoder", False) else AutoModelForCausalLM
        if type(config) not in kind._model_mapping:
            raise TaskError(
                f"{path_or_id} is a {type(config).__name__}, and transformers has no {kind.__name__} for it: it does "
                "not write text; give a language model that transformers itself has the code of."
            )
        model = kind.from_pretrained(path_or_id, dtype=dtype, **place).eval()
        return cls(
            model.to(device) if device is not None else model, AutoTokenizer.from_pretrained(path_or_id, **place)
        )

    def answer(self, prompts: Sequence[str], *, max_new_tokens: int, batch_size: int = BATCH_SIZE) -> list[str]:
        """Let the model answer each prompt with the likeliest token at every step, until it ends its answer.

        Nothing of the model's own generation settings plays a part (temperature, repetition penalty, beams), but for
        the tokens that end an answer. Prompts of like length share a batch, padded on the left; padding is masked, so
        that it changes an answer only where two tokens are as likely up to rounding. A tokenizer without a padding
        token is used as it is: what pads is masked, whatever it is.

        Args:
            prompts: the user's words.
            max_new_tokens: longest answer; a longer one is cut there.
            batch_size: prompts at a time.

        Returns:
            The answers in the order of the prompts, special tokens left out, white space as it came.

        Raises:
            TaskError: a setting is below 1, a prompt is empty, or a prompt and its answer together are longer than the
                model's positions.
        """
        for setting, value in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
            if value < 1:
                raise TaskError(f"{setting} is {value}, and must be at least 1.")
        tokens = [self._tokens(prompt) for prompt in prompts]
        self._check_positions(tokens, max_new_tokens)
        order = sorted(range(len(tokens)), key=lambda position: -len(tokens[position]))
        answers = [""] * len(tokens)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            written = self._generate([tokens[position] for position in batch], max_new_tokens)
            for position, text in zip(batch, written, strict=True):
                answers[position] = text
        return answers

    def stream(self, prompt: str, *, max_new_tokens: int) -> Iterator[Token]:
        """Answer one prompt as `answer` does, token by token; the tokens' texts together are its answer.

        It does not take encoder-decoders, nor models without a key-value cache (state-space models): use `answer`.

        Args:
            prompt: the user's words.
            max_new_tokens: longest answer; a longer one is cut there, and then no token ends it.

        Raises:
            TaskError: as `answer`, at the call; or the model is of a kind that is not taken.
        """
        if max_new_tokens < 1:
            raise TaskError(f"max_new_tokens is {max_new_tokens}, and must be at least 1.")
        if self.model.config.is_encoder_decoder:
            raise TaskError(f"{type(self.model).__name__} is an encoder-decoder, which is not streamed: use `answer`.")
        tokens = self._tokens(prompt)
        self._check_positions([tokens], max_new_tokens)
        return self._write(tokens, max_new_tokens)

    def _write(self, prompt: list[int], longest: int) -> Iterator[Token]:
        model: Any = self.model
        ends, written, shown, cache = self._ends(), list[int](), "", None
        while len(written) < longest and not (written and written[-1] in ends):
            new = torch.tensor([written[-1:] or prompt], device=model.device)
            with evaluating(model):
                out = model(input_ids=new, past_key_values=cache, use_cache=True)
                scores = out.logits[0, -1].float()
            cache = getattr(out, "past_key_values", None)
            if cache is None:
                raise TaskError(f"{type(model).__name__} has no key-value cache, so it is not streamed: use `answer`.")
            written.append(int(scores.argmax()))
            last = len(written) == longest or written[-1] in ends
            text = self._text(written, ends)
            if text.endswith("\ufffd") and not last:  # a character that is not complete yet
                text = shown
            yield Token(text[len(shown) :], float(scores.softmax(-1)[written[-1]]), written[-1] in ends)
            shown = text

    def _tokens(self, prompt: str) -> list[int]:
        """Return the token ids of a prompt in its template."""
        templated = bool(self.tokenizer.chat_template)
        text: Any = prompt
        if templated:
            turns = [{"role": "user", "content": prompt}]
            text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        tokens: list[int] = self.tokenizer(text, add_special_tokens=not templated)["input_ids"]
        if not tokens:
            raise TaskError(f"The prompt {prompt!r} has no tokens, so there is nothing to answer; leave it out.")
        return tokens

    def _check_positions(self, tokens: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        """Refuse what is longer than the model was made for: its answers would mean nothing."""
        config = self.model.config.get_text_config(decoder=True)
        positions = getattr(config, "max_position_embeddings", None)
        longest = max(map(len, tokens), default=0)
        together = max(longest, max_new_tokens) if self.model.config.is_encoder_decoder else longest + max_new_tokens
        if positions is not None and together > positions:
            raise TaskError(
                f"The longest prompt has {longest} tokens and its answer may have {max_new_tokens}, and the model has "
                f"{positions} positions: lower max_new_tokens or leave long prompts out."
            )

    def _generate(self, tokens: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        """Answer one batch."""
        from transformers import GenerationConfig

        model: Any = self.model
        own, ends = model.generation_config, self._ends()
        pad = next((token for token in (self.tokenizer.pad_token_id, *ends) if token is not None), 0)
        ids, mask = _pad(tokens, pad, left=not model.config.is_encoder_decoder)
        settings: Any = GenerationConfig
        greedy = settings(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            use_cache=True,
            pad_token_id=pad,
            eos_token_id=ends or None,
            bos_token_id=own.bos_token_id,
            decoder_start_token_id=own.decoder_start_token_id,
        )
        model.generation_config = settings()  # `generate` fills in what we leave open from here
        try:
            with evaluating(model):
                written = model.generate(
                    ids.to(model.device), attention_mask=mask.to(model.device), generation_config=greedy
                )
        finally:
            model.generation_config = own
        skip = 1 if model.config.is_encoder_decoder else ids.shape[1]
        return [self._text(row, ends) for row in written[:, skip:].tolist()]

    def _ends(self) -> list[int]:
        """Return the tokens that end an answer: the model's (chat models have several) and the tokenizer's."""
        own: Any = getattr(self.model.generation_config, "eos_token_id", None)
        several = own if isinstance(own, list) else [own]
        return sorted({token for token in (*several, self.tokenizer.eos_token_id) if token is not None})

    def _text(self, tokens: list[int], ends: Sequence[int]) -> str:
        stop = next((position for position, token in enumerate(tokens) if token in ends), len(tokens))
        text = self.tokenizer.decode(tokens[:stop], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)


def _pad(tokens: Sequence[Sequence[int]], pad: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, both [batch, longest]."""
    longest = max(map(len, tokens))
    rows, masks = [], []
    for row in tokens:
        padding, empty, seen = [pad] * (longest - len(row)), [0] * (longest - len(row)), [1] * len(row)
        rows.append([*padding, *row] if left else [*row, *padding])
        masks.append([*empty, *seen] if left else [*seen, *empty])
    return torch.tensor(rows), torch.tensor(masks)
