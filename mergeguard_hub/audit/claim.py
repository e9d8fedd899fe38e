"""Whose a folder of measurements is: figures of other models, tasks or settings are never mixed into it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mergeguard_hub.audit.scoring import write_whole
from mergeguard_hub.audit.tasks import Task
from mergeguard_hub.checkpoint import tensor_bytes, tensor_digest
from mergeguard_hub.errors import AuditError


def claim(folder: Path, own: Mapping[str, str], *, what: str, strict: bool = True) -> None:
    """Make a folder the one of an audit or a study, or see that it is.

    Args:
        folder: made if it is not there.
        own: facts by the name that they get in a sentence; facts that the folder was not told before are added.
        what: "audit" or "study".
        strict: whether a folder with files and without a claim is refused.

    Raises:
        AuditError: it belongs to another.
    """
    file = folder / f"{what}-of.json"
    other: dict[str, str] = {}
    if file.exists():
        other = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(name for name in own.keys() & other.keys() if own[name] != other[name])
        if changed:
            raise AuditError(
                f"{folder} holds {'an' if what == 'audit' else 'a'} {what} with another {', '.join(changed)}. Choose "
                "another folder, or remove it."
            )
    elif strict and folder.exists() and any(folder.iterdir()):
        raise AuditError(f"{folder} is not empty and holds no {what}. Choose another folder.")
    write_whole(file, json.dumps(other | dict(own), indent=2))


def content_of(tasks: Iterable[Task[Any]]) -> str:
    """Return "sha256:<hex>" of what tasks ask: of texts, numbers, tensors and sizes of files, as far as they show them.

    Functions and models (a judge, a scorer) count by their names only.
    """
    found = hashlib.sha256()
    for task in tasks:
        for piece in _pieces(task):
            found.update(f"{len(piece)} {piece}\n".encode())
    return f"sha256:{found.hexdigest()}"


def _pieces(value: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__
        for field in dataclasses.fields(value):
            yield field.name
            yield from _pieces(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        yield str(len(value))
        for one in value:
            yield from _pieces(one)
    elif isinstance(value, Tensor):
        yield tensor_digest("", str(value.dtype), value.shape, tensor_bytes(value.contiguous()))
    elif isinstance(value, Path):
        yield f"{value.name} {value.stat().st_size if value.is_file() else 0}"
    elif value is None or isinstance(value, str | int | float | slice):
        yield repr(value)
    else:
        yield str(getattr(value, "__qualname__", type(value).__qualname__))
