"""Saving a release again, unchanged: its bytes and its record go along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder
from mergeguard_hub.errors import ReleaseError, WrongKeyError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.record import report_of, require_sealed
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


def require_own(record: Mapping[str, Any], key: Key, recipe: Recipe) -> None:
    """Refuse to pass on a release that is not what was asked for: another key's, another recipe's, or an edited one.

    Copying it would leave a publisher believing in a key or a recipe that was never applied, and a record that somebody
    put beside raw weights would publish them.

    Args:
        record: of the release.
        key: the owner's key.
        recipe: what was asked for.

    Raises:
        WrongKeyError: it was protected with another key.
        ModifiedReleaseError: its record is not as its owner sealed it.
        ReleaseError: it was protected by another recipe.
    """
    if record["key_id"] != key.id:
        raise WrongKeyError(
            f"this is a release already, protected with key {record['key_id']}, and the key to protect with is "
            f"{key.id}. Give that key to copy the release as it is, or unlock it first and protect the original anew."
        )
    require_sealed(record, key)
    if record["recipe"]["stages"] != json.loads(json.dumps(recipe.settings)):
        raise ReleaseError(
            f"this is a release already, protected by the recipe {record['recipe']['name']!r}, and {recipe.name!r} was "
            "asked for. Unlock it first and protect the original anew."
        )
