"""Which matrices of a model TensorGuard looks at, and what kind of layer it takes each for, by their names alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import RandomState

_LAYER = re.compile(r"layers\.(\d+)")
_ATTENTION, _MLP, _EMBEDDING = ("attention", "attn"), ("ffn", "mlp"), ("embed",)
_LAYERS, _TENSORS, _PER_GROUP = 16, 10, 3  # the authors'


def within_depth(name: str) -> bool:
    """Whether a tensor lies in the first sixteen layers, or in no numbered `layers.`; the others are never read.

    >>> within_depth("model.layers.15.mlp.up_proj.weight"), within_depth("model.layers.16.mlp.up_proj.weight")
    (True, False)
    """
    found = _LAYER.search(name)
    return found is None or int(found[1]) < _LAYERS


def kind_of(name: str) -> str | None:
    """Return "attention", "ffn" or "embedding", in which group of features a matrix counts; None: in none.

    >>> kind_of("bert.embeddings.word_embeddings.weight"), kind_of("transformer.wte.weight")
    ('embedding', None)
    """
    lowered = name.lower()
    for kind, words in (("attention", _ATTENTION), ("ffn", _MLP), ("embedding", _EMBEDDING)):
        if any(word in lowered for word in words):
            return kind
    return None


def choose(names: Sequence[str], *, random: RandomState) -> list[str]:
    """Return the ten to twelve matrices that the fingerprint is taken of, or all where there are no more than ten.

    Up to three, evenly spaced, of each group: embeddings, attention, MLP, others. If they are fewer than ten, the rest
    is drawn. The authors draw from a Python set, whose order differs from run to run; here from the sorted names.

    Args:
        names: the matrices of the model, sorted.
        random: drawn from only if the groups do not suffice.
    """
    if len(names) <= _TENSORS:
        return list(names)
    chosen = []
    for group in _groups(names).values():
        at = np.linspace(0, len(group) - 1, min(_PER_GROUP, len(group)), dtype=int)
        chosen += [group[position] for position in at]
    if len(chosen) < _TENSORS:
        rest = [name for name in names if name not in set(chosen)]
        chosen += [str(name) for name in random.choice(rest, min(_TENSORS - len(chosen), len(rest)), replace=False)]
    return chosen


def _groups(names: Sequence[str]) -> Mapping[str, list[str]]:
    """Sort names into groups; unlike in `kind_of`, an embedding is one whatever else its name says."""
    groups: dict[str, list[str]] = {"embed": [], "attention": [], "ffn": [], "others": []}
    for name in names:
        lowered = name.lower()
        for group, words in (("embed", _EMBEDDING), ("attention", _ATTENTION), ("ffn", _MLP), ("others", ("",))):
            if any(word in lowered for word in words):
                groups[group].append(name)
                break
    return {group: members for group, members in groups.items() if members}
