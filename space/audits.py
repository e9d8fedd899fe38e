"""The audits that are shipped: what the page says of merges and attacks at large is read from them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mergeguard_hub.audit import AuditReport

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "audit"


@cache
def audit_of(family: str) -> AuditReport | None:
    """Return the audit of a family of the zoo, or None if none is shipped."""
    file = FOLDER / f"{family}.json"
    return AuditReport.read(file) if file.exists() else None
