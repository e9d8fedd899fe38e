"""The command line, `mergeguard`: each module adds its commands."""

from __future__ import annotations

from mergeguard_hub.cli import (  # noqa: F401  (each module adds its commands to `main`)
    audit_command,
    classify_command,
    fingerprint_commands,
    hub_commands,
    key_commands,
    merge_command,
    negate_command,
    release_commands,
    study_command,
)
from mergeguard_hub.cli.root import main

__all__ = ["main"]
