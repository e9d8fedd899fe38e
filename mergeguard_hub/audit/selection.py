"""Choosing by name what an audit tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mergeguard_hub.attacks import Attack, MergeAttack
from mergeguard_hub.audit.defaults import (
    ATTACKS_TRIED,
    MERGE_ATTACKS_NAMED,
    MERGE_ATTACKS_TRIED,
    METHODS_TRIED,
    WITHOUT,
)
from mergeguard_hub.errors import AuditError
from mergeguard_hub.merging import MergeMethod

ALL, NONE = "all", "none"

Way = TypeVar("Way")


def choose(
    methods: Sequence[str] = (), attacks: Sequence[str] = ()
) -> tuple[dict[str, MergeMethod], dict[str, MergeAttack], dict[str, Attack]]:
    """Return merge methods, attacks on the merge, and attacks on the release.

    Args:
        methods: names of merge methods and of attacks on the merge; () for all but those of `MERGE_ATTACKS_NAMED`,
            which also "all" stands for among other names.
        attacks: names of attacks on the release; () or "all" for all, ("none",) for none.

    Raises:
        AuditError: there is no method or attack of that name.
    """
    ways: dict[str, Any] = {**METHODS_TRIED, **{k: v for k, v in MERGE_ATTACKS_TRIED.items() if k != WITHOUT}}
    chosen = _named(methods, ways, "method", more=MERGE_ATTACKS_NAMED)
    cleaned = {} if tuple(attacks) == (NONE,) else _named(attacks, ATTACKS_TRIED, "attack")
    return (
        {name: way for name, way in chosen.items() if name in METHODS_TRIED},
        {name: way for name, way in chosen.items() if name not in METHODS_TRIED},
        cleaned,
    )


def _named(
    names: Sequence[str], default: Mapping[str, Way], what: str, *, more: Mapping[str, Way] | None = None
) -> dict[str, Way]:
    known = {**default, **(more or {})}
    found: dict[str, Way] = {}
    for name in (one.replace("-", "_") for one in names or (ALL,)):
        if name != ALL and name not in known:
            raise AuditError(f"There is no {what} {name!r}; choose among {', '.join(known)}, or {ALL}.")
        found |= dict(default) if name == ALL else {name: known[name]}
    return found
