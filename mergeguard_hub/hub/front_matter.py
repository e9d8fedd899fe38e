"""The front matter of a card: our entries merged into the user's, every line that says something else left as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from mergeguard_hub.errors import CardError

_FENCE = "---"
_KEY = re.compile(r"""^(?:"([^"]+)"|'([^']+)'|([^\s#'"\-][^:]*?))\s*:(?:\s|$)""")


def split(card: str) -> tuple[str | None, str]:
    """Return the YAML of a card (None without front matter) and the rest of it.

    Raises:
        CardError: the front matter is not closed.
    """
    lines = card.lstrip("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].strip() != _FENCE:
        return None, card
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), None)
    if end is None:
        raise CardError("The README's front matter begins with '---' and has no second '---'; close it.")
    return "".join(lines[1:end]), "".join(lines[end + 1 :])


def read(text: str | None) -> dict[str, Any]:
    """Return the entries of front matter.

    Raises:
        CardError: it is no YAML, or no mapping.
    """
    try:
        content = yaml.safe_load(text or "")
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 2}" if where is not None else ""
        raise CardError(
            f"The README's front matter is no valid YAML{line} ({getattr(error, 'problem', None) or 'not readable'}). "
            "Correct it, or remove the README."
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise CardError("The README's front matter is no list of 'name: value' lines. Correct it, or remove it.")
    return content


def merged(text: str | None, changes: Mapping[str, Any]) -> str:
    """Return front matter with some entries replaced or added; the lines of the others stay as they are.

    Args:
        text: the YAML, None for none.
        changes: name -> new value.
    """
    before = read(text)
    changed = {name: value for name, value in changes.items() if before.get(name) != value}
    lines = (text or "").replace("\r\n", "\n").splitlines(keepends=True)
    kept: list[str] = []
    current: str | None = None
    for line in lines:
        found = _KEY.match(line)
        if found:
            current = next(group for group in found.groups() if group is not None)
            if current in changed:
                kept.append(_dumped({current: changed[current]}))
        if current not in changed:
            kept.append(line if line.endswith("\n") else line + "\n")
    kept += [_dumped({name: value}) for name, value in changed.items() if name not in before]
    result = "".join(kept)
    wanted = {**before, **changed}
    try:
        same = yaml.safe_load(result) == wanted
    except yaml.YAMLError:
        same = False
    return result if same else _dumped(wanted)  # flow style, anchors and the like: written anew as a whole


def _dumped(content: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=1000))
