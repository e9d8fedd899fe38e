"""Choosing by name what an audit tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mergeguard_hub.attacks import Attack, MergeAttack
from mergeguard_hub.audit.defaults import ATTACKS_TRIED, MERGE_ATTACKS_TRIED, METHODS_TRIED, WITHOUT
from mergeguard_hub.errors import AuditError
from mergeguard_hub.merging import MergeMethod

NONE = "none"

Way = TypeVar("Way")


def choose(
    methods: Sequence[str] = (), attacks: Sequence[str] = ()
) -> tuple[dict[str, MergeMethod], dict[str, MergeAttack], dict[str, Attack]]:
    """Return merge methods, attacks on the merge, and attacks on the release.

    Args:
        methods: names of merge methods and of attacks on the merge; () for all.
        attacks: names of attacks on the release; () for all, ("none",) for none.

    Raises:
        AuditError: there is no method or attack of that name.
    """
    ways: dict[str, Any] = {**METHODS_TRIED, **{k: v for k, v in MERGE_ATTACKS_TRIED.items() if k != WITHOUT}}
    chosen = _named(methods, ways, "method")
    cleaned = {} if tuple(attacks) == (NONE,) else _named(attacks, ATTACKS_TRIED, "attack")
    return (
        {name: way for name, way in chosen.items() if name in METHODS_TRIED},
        {name: way for name, way in chosen.items() if name in MERGE_ATTACKS_TRIED},
        cleaned,
    )


def _named(names: Sequence[str], known: Mapping[str, Way], what: str) -> dict[str, Way]:
    found = {}
    for name in (one.replace("-", "_") for one in names):
        if name not in known:
            raise AuditError(f"There is no {what} {name!r}; choose among {', '.join(known)}.")
        found[name] = known[name]
    return found or dict(known)
