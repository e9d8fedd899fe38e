"""Releases: protect, unlock, verify and inspect a folder. Joins checkpoints, architectures and protections."""

from __future__ import annotations

from mergeguard_hub.release.inspect import inspect_folder
from mergeguard_hub.release.protect import protect_folder
from mergeguard_hub.release.report import (
    ComponentReport,
    Inspection,
    Progress,
    ProgressCallback,
    Report,
    StageReport,
    Verification,
)
from mergeguard_hub.release.sidecar import SIDECAR, read_sidecar
from mergeguard_hub.release.unlock import unlock_folder
from mergeguard_hub.release.verify import verify_folder

__all__ = [
    "SIDECAR",
    "ComponentReport",
    "Inspection",
    "Progress",
    "ProgressCallback",
    "Report",
    "StageReport",
    "Verification",
    "inspect_folder",
    "protect_folder",
    "read_sidecar",
    "unlock_folder",
    "verify_folder",
]
