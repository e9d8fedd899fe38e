"""`python -m mergeguard_hub.cli`, the same as `mergeguard`."""

from __future__ import annotations

from mergeguard_hub.cli import main

main(prog_name="mergeguard")
