"""Which token a row of the embedding stands for: models that disagree about it cannot be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.layout import place
from mergeguard_hub.merging.text_files import read_json, read_text


def check_vocabularies(base: Path, models: Sequence[Path]) -> None:
    """Refuse models that give a token another number than the base does; tokens that only one side has are fine.

    Args:
        base: folder of the base model, or of its tokenizer.
        models: folders of the models. Those without a tokenizer that can be read here are not compared.

    Raises:
        MergeError: a token has two numbers.
        InvalidCheckpointError: a tokenizer file is damaged.
    """
    expected = vocabulary(base)
    for position, root in enumerate(models):
        found = vocabulary(root) if expected else {}
        differing = next((token for token, number in found.items() if expected.get(token, number) != number), None)
        if differing is not None:
            raise MergeError(
                f"The token {differing!r} is number {expected[differing]} in the base and {found[differing]} in "
                f"{place(position, len(models))}: rows of their embeddings mean different tokens, although they may "
                "have the same shape. Merge only models that share a vocabulary."
            )


def vocabulary(root: Path) -> dict[str, int]:
    """Return token -> number, from tokenizer.json, vocab.json or vocab.txt; {} where there is none of them.

    Args:
        root: a folder.
    """
    if (root / "tokenizer.json").is_file():
        model = read_json(root / "tokenizer.json").get("model")
        return _numbered(model.get("vocab")) if isinstance(model, Mapping) else {}
    if (root / "vocab.json").is_file():
        return _numbered(read_json(root / "vocab.json"))
    if (root / "vocab.txt").is_file():
        return _numbered(read_text(root / "vocab.txt").splitlines())
    return {}


def _numbered(tokens: object) -> dict[str, int]:
    """Return token -> number of what tokenizers write: a mapping, a list of tokens, or of pairs (token, score)."""
    if isinstance(tokens, Mapping):
        return {str(token): int(number) for token, number in tokens.items()}
    if isinstance(tokens, list):
        names = [token[0] if isinstance(token, list) and token else token for token in tokens]
        return {str(token): number for number, token in enumerate(names)}
    return {}
