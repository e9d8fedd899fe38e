"""Saving a release again, unchanged: its bytes and its record go along."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.record import report_of
from mergeguard_hub.release.report import Report
from mergeguard_hub.release.side_files import config_texts, copy_side_files, released_texts
from mergeguard_hub.release.sidecar import SIDECAR


def copy_through(
    components: Mapping[str, Checkpoint],
    files: Mapping[str, Path],
    staged: StagedFolder,
    found: tuple[dict[str, Any], Path],
    *,
    architecture: str | None,
    meter: Meter,
) -> Report:
    """Write a release as it is, with the record that it had.

    Args:
        components: the opened release, or what a library saved after loading it.
        files: what is beside its weights.
        staged: where it goes.
        found: its record, and the file that holds it.
        architecture: class name for config.json, in place of the one that is there.
        meter: told of every tensor.

    Returns:
        The report of the release.
    """
    record, holder = found
    report = report_of(record, already=True)
    protected = {name for name, component in record["components"].items() if "draft" in component}
    claimed = {component.name: component.digest for component in report.components if component.name in protected}
    meter.begin("protect", sum(checkpoint.nbytes for checkpoint in components.values()))
    for name, checkpoint in components.items():
        staged.allocate(checkpoint, name)
        for entry in checkpoint.entries.values():
            staged.copy_tensor(checkpoint, entry, name)
            meter.advance(entry.nbytes, entry.name)
    texts = released_texts(
        config_texts(components), components, claimed, release=report.digest, architecture=architecture
    )
    copy_side_files(files, components, staged, texts)
    staged.copy_file(holder, SIDECAR)
    return report
