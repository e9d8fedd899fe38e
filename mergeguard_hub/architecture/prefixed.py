"""Checkpoints whose names begin otherwise than those their class writes, and which the class loads all the same.

A text encoder that was read from a whole CLIP, that of Stable Diffusion for one, is saved as `text_model.encoder...`,
one that was built by itself as `encoder...`; GPT-2 is published as `h.0...`, its language model saves
`transformer.h.0...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mergeguard_hub.architecture.miniature import PLAIN, Miniature, Prefix
from mergeguard_hub.architecture.names import template_of
from mergeguard_hub.architecture.prove import Proof, prove
from mergeguard_hub.errors import ArchitectureError

Found = tuple[Proof, dict[str, Any]]
"""A proof and the configuration with every default filled in."""


def proved_as_named(prove_with: Callable[[Prefix], Found], names: Iterable[str]) -> Found:
    """Prove a class under the names that a checkpoint has.

    Nothing is assumed of a prefix: the class is proved on a miniature that is loaded under such names. If the class
    does not know them, weights stay random, no two passes agree, and the checkpoint is left with names that nothing is
    known about.

    Args:
        prove_with: prefix -> the proof of the class under such names; `PLAIN` for the names it writes itself.
        names: of the checkpoint's floating-point tensors.

    Raises:
        ArchitectureError: the class cannot be scaled down and run.
    """
    found = prove_with(PLAIN)
    prefix = _prefix({template_of(name) for name in names}, found[0].tensors)
    if prefix == PLAIN:
        return found
    try:
        return prove_with(prefix)
    except ArchitectureError:
        return found


def prove_config(config: Mapping[str, Any], prefix: Prefix = PLAIN) -> Found:
    """Prove what may be done to the class that a configuration names.

    Args:
        config: parsed config.json.
        prefix: as of `Miniature`.

    Raises:
        ArchitectureError: the class cannot be scaled down and run.
    """
    miniature = Miniature(config, prefix=prefix)
    return prove(miniature), miniature.full_config


def _prefix(templates: set[str], known: frozenset[str]) -> Prefix:
    """Return the prefix under which the class's names are most often a checkpoint's; `PLAIN` unless others are more."""
    candidates = {PLAIN}
    for one in templates - known:
        candidates |= {Prefix(added=one.removesuffix(name)) for name in known if one.endswith(f".{name}")}
    for name in known - templates:
        candidates |= {Prefix(dropped=name.removesuffix(one)) for one in templates if name.endswith(f".{one}")}
    # Of equals the shortest: `a.b.weight` also ends in `b.weight`.
    return max(
        candidates,
        key=lambda prefix: (
            len(templates & {prefix.on_disk(name) for name in known}),
            prefix == PLAIN,
            -len(prefix.added + prefix.dropped),
        ),
    )
