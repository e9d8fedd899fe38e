"""Editing a config.json as text: one key in, one key out, and every other byte as its author left it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_SPACE = " \t\n\r"


@dataclass(frozen=True)
class Member:
    """One key of a JSON object: `text[start:stop]` is the key with its value, `text[value:stop]` the value alone."""

    key: str
    start: int
    value: int
    stop: int


def members(text: str) -> list[Member]:
    """Return the keys of the outermost object of a JSON text, in order; those of nested objects are not looked at.

    Args:
        text: a valid JSON object.
    """
    decoder = json.JSONDecoder()
    found: list[Member] = []
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, after = decoder.raw_decode(text, at)
        value = _skip(text, _skip(text, after) + 1)  # past the colon
        _, stop = decoder.raw_decode(text, value)
        found.append(Member(key, at, value, stop))
        at = _skip(text, stop)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def with_member(text: str, key: str, value: Mapping[str, Any]) -> str:
    """Insert a key in front of all others.

    Args:
        text: a JSON object that has other keys.
        key: the new key.
        value: its value.

    >>> with_member('{"model_type": "x"}', "mergeguard", {"version": 1})
    '{"mergeguard": {"version": 1}, "model_type": "x"}'
    """
    opened = text.index("{") + 1
    first = _skip(text, opened)
    entry = f"{json.dumps(key)}: {json.dumps(dict(value), sort_keys=True)},"
    return text[:first] + entry + (text[opened:first] or " ") + text[first:]


def without_members(text: str, keys: Collection[str]) -> str:
    """Take keys out of the outermost object, wherever they stand; undoes `with_member` to the byte.

    Args:
        text: a valid JSON object.
        keys: which ones; others, and the same ones in nested objects, stay.

    >>> without_members('{"mergeguard": {"version": 1}, "model_type": "x"}', {"mergeguard"})
    '{"model_type": "x"}'
    """
    while True:
        found = members(text)
        at = next((i for i, member in enumerate(found) if member.key in keys), None)
        if at is None:
            return text
        if at + 1 < len(found):
            text = text[: found[at].start] + text[found[at + 1].start :]
        else:
            text = text[: found[at - 1].stop if at else found[at].start] + text[found[at].stop :]


def with_value(text: str, key: str, value: Any) -> str:
    """Write another value for a key of the outermost object; a text without this key stays as it is.

    Args:
        text: a valid JSON object.
        key: which one.
        value: anything that JSON has a form for.

    >>> with_value('{"a": ["x"],  "b": "x"}', "a", ["y"])
    '{"a": ["y"],  "b": "x"}'
    """
    for member in members(text):
        if member.key == key:
            return text[: member.value] + json.dumps(value) + text[member.stop :]
    return text


def _skip(text: str, at: int) -> int:
    """Return the position of the next character that is no white space."""
    while text[at] in _SPACE:
        at += 1
    return at
