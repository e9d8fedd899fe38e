"""The name of a release's record beside its weights, which every room must know and only `release/` reads."""

from __future__ import annotations

SIDECAR = "mergeguard.json"
LEFT_OUT = (SIDECAR, f"*/{SIDECAR}")  # patterns of the records in a folder, which what is made from it does not repeat
