"""Proofs kept between processes, so that a class and configuration is proved once and not on every save.

A proof is found again only under everything that it depends on: the configuration, the source text of the class, of all
it is made of and of this package's proving, and the versions of what runs it. Whatever differs, it is proved anew. A
release is checked against its original all the same.

The files lie in the user's own cache folder, and what others could have written is not read: a proof decides what is
done to weights. MERGEGUARD_PROOF_CACHE names another folder; "off" keeps and reads nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import mergeguard_hub.architecture
from mergeguard_hub.architecture.classes import find_class
from mergeguard_hub.architecture.miniature import PLAIN, Prefix
from mergeguard_hub.architecture.prefixed import Found
from mergeguard_hub.release.proof_record import proof_from_dict, proof_to_dict

OVERRIDE = "MERGEGUARD_PROOF_CACHE"
_VERSIONS = ("mergeguard-hub", "torch", "transformers", "diffusers", "numpy", "safetensors")


def proof_file(config: Mapping[str, Any], prefix: Prefix = PLAIN) -> Path | None:
    """Return where the proof of a class and configuration is kept; None if proofs are not kept.

    Args:
        config: parsed config.json, without what no proof depends on.
        prefix: of the names that it is proved under.

    Raises:
        UnknownArchitectureError: no installed class loads it.
    """
    place = os.environ.get(OVERRIDE, "")
    cls = find_class(config)
    sources = _source_digest(cls)
    if place == "off" or sources is None:
        return None
    facts = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "config": config,
        "prefix": [prefix.added, prefix.dropped],
        "sources": sources,
        "versions": {name: _version(name) for name in _VERSIONS},
        "system": [platform.python_version(), platform.machine(), sys.platform],
    }
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    if place:
        return Path(place).expanduser() / f"{name}.json"
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return cache / "mergeguard" / "proofs" / f"{name}.json"


def read_proof(path: Path) -> Found | None:
    """Return a kept proof; None if there is none, it is damaged, or somebody else could have written it.

    Args:
        path: from `proof_file`.
    """
    try:
        with path.open("rb") as stream:
            if not all(map(_only_ours, (os.fstat(stream.fileno()), path.parent.stat()))):
                return None
            return _decoded(json.load(stream))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def keep_proof(path: Path, found: Found) -> None:
    """Write a proof down, whole or not at all; nothing happens where that is not possible.

    Args:
        path: from `proof_file`.
        found: the proof; kept only if it is the same when it is read back.
    """
    proof, config = found
    record = {
        "proof": proof_to_dict(proof),
        "refused": [[*place, why] for place, why in proof.refused.items()],
        "config": config,
    }
    with suppress(OSError, TypeError, ValueError):
        text = json.dumps(record)
        if _decoded(json.loads(text)) != found:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, suffix=".tmp")  # for this user alone
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise


def _decoded(record: Mapping[str, Any]) -> Found:
    refused = {(str(template), str(group)): str(why) for template, group, why in record["refused"]}
    return replace(proof_from_dict(record["proof"]), refused=refused), dict(record["config"])


def _only_ours(status: os.stat_result) -> bool:
    """Whether nobody but this user, or the administrator, may write there."""
    owned = not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid())
    return owned and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _source_digest(cls: type[Any]) -> str | None:
    """Return a digest over the source files a proof runs; None if the class has none, as in an interactive session."""
    files: set[Path] = set()
    for module in _modules(cls):
        file = getattr(module, "__file__", None)
        if file is None:
            return None
        files.add(Path(file))
    proving = Path(str(mergeguard_hub.architecture.__file__)).parent
    files |= set(proving.glob("*.py"))
    state = hashlib.sha256()
    for file in sorted(files):
        try:
            state.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError:
            return None
    return state.hexdigest()


def _modules(cls: type[Any]) -> Iterator[ModuleType]:
    """Yield the modules of a class, of its bases, and of its package that those import from."""
    package = cls.__module__.partition(".")[0]
    direct = {base.__module__ for base in cls.__mro__ if base.__module__ in sys.modules}
    within = set()
    for name in direct:
        for value in vars(sys.modules[name]).values() if name.partition(".")[0] == package else ():
            origin = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(origin, str) and origin.partition(".")[0] == package:
                within.add(origin)
    for name in sorted(direct - {"builtins"}):
        yield sys.modules[name]
    for name in sorted(within - direct):
        if getattr(sys.modules.get(name), "__file__", None) is not None:
            yield sys.modules[name]
