"""Two checkpoints whose tensors are the same under other names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def naming_advice(ours: Iterable[str], theirs: Iterable[str]) -> str:
    """Return what to do where two models differ in how their tensors' names begin.

    Published weights are at times saved from a part of the class that loads them: GPT-2 has `h.0...`, and a fine-tune
    of it `transformer.h.0...`.

    Args:
        ours: names of all tensors of one.
        theirs: of the other.

    Returns:
        A sentence with a space before it; "" unless one prefix explains most of the difference.

    Example:
        >>> naming_advice(["h.0.weight"], ["model.h.0.weight"]).startswith(" One has 'model.' before its names")
        True
    """
    one, other = set(ours), set(theirs)
    one, other = one - other, other - one
    for short, long in ((one, other), (other, one)):
        prefixes = Counter(
            name[: dot + 1]
            for name in long
            for dot, letter in enumerate(name)
            if letter == "." and name[dot + 1 :] in short
        )
        prefix, count = next(iter(prefixes.most_common(1)), ("", 0))
        if 2 * count > len(short):
            return (
                f" One has {prefix!r} before its names: load both with the same class and save them again, so that "
                "their tensors are called alike."
            )
    return ""
