"""The audits that are shipped: what the page says of merges and attacks at large is read from them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mergeguard_hub.audit import AuditReport
from space.shelf import HARDENED

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "audit"


@cache
def audit_of(family: str, *, hardened: bool = False) -> AuditReport | None:
    """Return the audit of a family of the zoo, or of its hardened release; None if none is shipped."""
    file = FOLDER / f"{family}{f'-{HARDENED}' if hardened else ''}.json"
    return AuditReport.read(file) if file.exists() else None
