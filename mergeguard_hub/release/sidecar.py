"""The release record: `mergeguard.json` beside the weights, and one key in the configuration.

The record is public and complete: with it and the owner's key a release can be unlocked without proving anything again.
Nothing in it depends on the time or the machine, so saving twice gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import InvalidCheckpointError

SIDECAR = "mergeguard.json"
VERSION = 1


def read_sidecar(path: str | Path) -> dict[str, Any] | None:
    """Return the record of a release, or None where there is none.

    Raises:
        InvalidCheckpointError: the file is there and is not a record of this format.
    """
    file = Path(path) / SIDECAR
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidCheckpointError(f"{file} is not readable JSON ({error}); fetch the release again.") from error
    if not isinstance(record, dict) or not isinstance(record.get("digest"), str) or "components" not in record:
        raise InvalidCheckpointError(f"{file} is not a release record of mergeguard-hub; fetch the release again.")
    if record.get("version") != VERSION:
        raise InvalidCheckpointError(
            f"{file} has format version {record.get('version')}, this package reads {VERSION}; update mergeguard-hub."
        )
    return record


def sidecar_text(record: Mapping[str, Any]) -> str:
    """Return the record as the file's text."""
    return json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def claim_key(config: Mapping[str, Any]) -> str | None:
    """Return the key under which this configuration may carry a claim; None where its loader would not keep it quiet."""
    if "_class_name" in config:
        return "_mergeguard"  # diffusers warns about unknown keys unless they start with an underscore
    return "mergeguard" if "model_type" in config else None


def with_claim(text: str, config: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    """Insert the claim as the first entry of a config.json, leaving every other byte as it is.

    >>> with_claim('{"model_type": "x"}', {"model_type": "x"}, {"version": 1})
    '{"mergeguard": {"version": 1}, "model_type": "x"}'
    """
    key = claim_key(config)
    if key is None:
        return text
    start = text.index("{") + 1
    gap = re.match(r"\s*", text[start:])
    space = gap.group() if gap else ""
    entry = f"{json.dumps(key)}: {json.dumps(dict(claim), sort_keys=True)},"
    return text[:start] + space + entry + (space or " ") + text[start + len(space) :]


def without_claim(text: str) -> str:
    """Take the claim out again; the inverse of `with_claim` to the byte.

    >>> without_claim('{"mergeguard": {"version": 1}, "model_type": "x"}')
    '{"model_type": "x"}'
    """
    found = re.search(r'\{(\s*)"_?mergeguard": \{[^{}]*\},(\s*)', text)
    if found is None:
        return text
    return text[: found.start()] + "{" + found.group(1) + text[found.end() :]
