"""The file of a release record, `mergeguard.json` beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import LEFT_OUT, SIDECAR
from mergeguard_hub.errors import InvalidCheckpointError

__all__ = ["LEFT_OUT", "SIDECAR", "VERSION", "read_sidecar", "sidecar_text"]

VERSION = 1
_FIELDS: dict[str, type] = {
    "id": str,
    "digest": str,
    "key_id": str,
    "recipe": dict,
    "components": dict,
    "stages": list,
    "exact": bool,
    "tools": dict,
}


def read_sidecar(path: str | Path) -> dict[str, Any] | None:
    """Return the record of a release, or None where there is none.

    Args:
        path: the release's folder.

    Raises:
        InvalidCheckpointError: the file is there and is not a record of this format.
    """
    file = Path(path) / SIDECAR
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidCheckpointError(f"{file} is not readable JSON ({error}); fetch the release again.") from error
    if not isinstance(record, dict) or "version" not in record:
        raise InvalidCheckpointError(f"{file} is not a release record of mergeguard-hub; fetch the release again.")
    if record["version"] != VERSION:
        raise InvalidCheckpointError(
            f"{file} has format version {record['version']!r}, this package reads {VERSION}; update mergeguard-hub."
        )
    wrong = next((name for name, kind in _FIELDS.items() if not isinstance(record.get(name), kind)), None)
    if wrong is not None:
        raise InvalidCheckpointError(
            f"{file} is no whole release record: its {wrong!r} is {record.get(wrong)!r}. It was edited or cut off; "
            "fetch the release again."
        )
    return record


def sidecar_text(record: Mapping[str, Any]) -> str:
    """Return the record as the file's text.

    Args:
        record: JSON-ready data; the same data always gives the same text.
    """
    return json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
