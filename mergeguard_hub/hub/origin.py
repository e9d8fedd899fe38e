"""The release that an object was loaded from: its record goes along when the object is saved again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import MergeGuardError
from mergeguard_hub.hub.families import parts

_CONFIG = "config.json"
_CLAIMS = ("mergeguard", "_mergeguard")


def bring_record(raw: Path, model: Any, target: Path) -> None:
    """Put the record of the release that `model` was loaded from beside its freshly saved raw weights.

    The libraries carry only the short claim in config.json from a load to a save. The record is looked for where the
    object was loaded from and in the target, and believed only where its id is the claim's; whether the weights are
    still the release's is for `protect_folder` to find out.

    Args:
        raw: what `save_pretrained` wrote.
        model: the object that was saved.
        target: where the release goes.
    """
    from mergeguard_hub.release.sidecar import SIDECAR, read_sidecar  # loads the machinery only when something is saved

    claimed = {claim for name, _ in parts(model) if (claim := _claimed_id(raw / name / _CONFIG)) is not None}
    for place in [*_loaded_from(model), target] if claimed else []:
        try:
            record = read_sidecar(place)
        except MergeGuardError:
            continue  # somebody else's file of that name
        if record is not None and record.get("id") in claimed:
            shutil.copyfile(place / SIDECAR, raw / SIDECAR)
            return


def _claimed_id(config: Path) -> str | None:
    if not config.is_file():
        return None
    content = json.loads(config.read_text(encoding="utf-8"))
    claims = [content[name] for name in _CLAIMS if isinstance(content.get(name), dict)]
    return str(claims[0].get("id")) if claims else None


def _loaded_from(model: Any) -> list[Path]:
    """Return the folder that an object was loaded from: on this machine, or with the record of a model on the Hub."""
    config = getattr(model, "config", None)
    stated = config.get("_name_or_path") if isinstance(config, dict) else getattr(config, "_name_or_path", None)
    folder = Path(stated) if isinstance(stated, str | os.PathLike) and str(stated) else None
    if folder is None or folder.is_dir():
        return [folder] if folder is not None else []
    revision = config.get("_commit_hash") if isinstance(config, dict) else getattr(config, "_commit_hash", None)
    return _fetched(str(stated), revision if isinstance(revision, str) else None)


def _fetched(repo_id: str, revision: str | None) -> list[Path]:
    """Return the folder of the Hub cache with the record of a release; nothing where there is none to be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    from mergeguard_hub.release.sidecar import SIDECAR

    try:
        return [Path(hf_hub_download(repo_id, SIDECAR, revision=revision)).parent]
    except (OSError, HFValidationError):
        return []
