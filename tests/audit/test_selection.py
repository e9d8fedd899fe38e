"""What `--methods` and `--attacks` choose."""

from __future__ import annotations

import pytest

from mergeguard_hub.audit.defaults import (
    ATTACKS_TRIED,
    MERGE_ATTACKS_NAMED,
    MERGE_ATTACKS_TRIED,
    METHODS_TRIED,
    WITHOUT,
)
from mergeguard_hub.audit.selection import choose
from mergeguard_hub.errors import AuditError

DEFAULT = [name for name in MERGE_ATTACKS_TRIED if name != WITHOUT]


def test_all_by_default_but_what_has_to_be_named() -> None:
    assert [list(part) for part in choose()] == [list(METHODS_TRIED), DEFAULT, list(ATTACKS_TRIED)]
    assert choose(["all"], ["all"]) == choose()


@pytest.mark.parametrize("name", MERGE_ATTACKS_NAMED)
def test_named_alone_or_beside_all(name: str) -> None:
    assert choose([name])[:2] == ({}, {name: MERGE_ATTACKS_NAMED[name]})
    methods, merges, _ = choose(["all", name.replace("_", "-")])
    assert (list(methods), list(merges)) == (list(METHODS_TRIED), [*DEFAULT, name])


def test_none_and_unknown() -> None:
    assert choose(["ties"], ["none"])[2] == {}
    with pytest.raises(AuditError, match="no method 'magic'; choose among weight_averaging.* ada_merging, or all"):
        choose(["magic"])
