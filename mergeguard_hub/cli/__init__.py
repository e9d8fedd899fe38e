"""The command line: `mergeguard protect | unlock | verify | inspect | key`."""

from __future__ import annotations

from mergeguard_hub.cli import key_commands, release_commands  # noqa: F401  (each module adds its commands to `main`)
from mergeguard_hub.cli.root import main

__all__ = ["main"]
