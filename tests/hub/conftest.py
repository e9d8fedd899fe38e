"""Quiet libraries, and a record of what the save tests asked `protect_folder` for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers

import mergeguard_hub.release
from tests.hub_server import LocalHub, connect

diffusers_logging = pytest.importorskip("diffusers").utils.logging


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Progress bars only clutter a failing test's output."""
    transformers.utils.logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()


@pytest.fixture
def private(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for raw weights that the test can look into, away from its targets."""
    folder = tmp_path_factory.mktemp("private")
    monkeypatch.setenv("MERGEGUARD_TMPDIR", str(folder))
    return folder


@pytest.fixture
def spoken() -> Iterator[list[str]]:
    """Collect what transformers and diffusers log at WARNING and above."""
    records: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers", "huggingface_hub")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path, dict[str, Any]]]:
    """Record (source, target, arguments) of every `protect_folder`."""
    real = mergeguard_hub.release.protect_folder
    seen: list[tuple[Path, Path, dict[str, Any]]] = []

    def recorded(source: Any, target: Any, **arguments: Any) -> Any:
        seen.append((Path(source), Path(target), arguments))
        return real(source, target, **arguments)

    monkeypatch.setattr(mergeguard_hub.release, "protect_folder", recorded)
    return seen


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A Hub of this test's own, to which every client of this process talks."""
    with LocalHub() as server:
        connect(server, monkeypatch, tmp_path_factory.mktemp("home"))
        yield server
