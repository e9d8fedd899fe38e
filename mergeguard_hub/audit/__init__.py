"""The audit: what a protection survives, measured on tasks."""

from __future__ import annotations

from mergeguard_hub.audit.tasks import Score, Task

__all__ = ["Score", "Task"]
