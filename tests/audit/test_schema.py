"""audit.json keeps to its JSON Schema, which the package carries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.audit.record import SCHEMA_VERSION
from tests.audit.grids import audit_schema
from tests.hub.schema import problems

AUDITS = sorted((Path(__file__).parents[2] / "docs" / "audit").glob("*.json"))


@pytest.mark.parametrize("file", AUDITS, ids=lambda file: file.stem)
def test_the_published_audits_keep_to_it(file: Path) -> None:
    assert problems(json.loads(file.read_text(encoding="utf-8")), audit_schema(), audit_schema()) == []


def test_it_is_of_the_version_that_is_written() -> None:
    assert audit_schema()["properties"]["schema"] == {**audit_schema()["properties"]["schema"], "const": SCHEMA_VERSION}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 2}, "$.schema is not 1"),
        ({"complete": "yes"}, "$.complete is 'yes', not ['boolean']"),
        ({"models": {"protected": {"name": "x", "digest": "md5:0"}}}, "$.models lacks original"),
        ({"cells": [{"defender": "partner"}]}, "$.cells[0].defender is 'partner'"),
        ({"recovery": [{"kind": "magic"}]}, "$.recovery[0].kind is 'magic'"),
        ({"alone": {"base": {"math": {"value": "high"}}}}, "$.alone.base.math.value is 'high', not ['number']"),
    ],
)
def test_it_refuses(change: dict[str, Any], problem: str) -> None:
    content = {**json.loads(AUDITS[0].read_text(encoding="utf-8")), **change}
    assert problem in problems(content, audit_schema(), audit_schema())
