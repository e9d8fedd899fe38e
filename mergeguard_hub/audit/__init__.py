"""The audit: what a protection survives, measured on tasks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mergeguard_hub.audit.tasks import Score, Task

if TYPE_CHECKING:
    from mergeguard_hub.audit.grid import audit
    from mergeguard_hub.audit.record import AuditReport
    from mergeguard_hub.audit.transfer import Transfer, joint_gain, outcome

__all__ = ["AuditReport", "Score", "Task", "Transfer", "audit", "joint_gain", "outcome"]

_HOME = {
    "AuditReport": "record",
    "Transfer": "transfer",
    "audit": "grid",
    "joint_gain": "transfer",
    "outcome": "transfer",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a task needs no merge methods."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
