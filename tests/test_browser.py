"""The search for a browser: it ends in one that starts, or in one sentence that says what to do."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(browser.VARIABLE, raising=False)
    browser.chromium_path.cache_clear()
    yield
    browser.chromium_path.cache_clear()


def _program(path: Path, answer: str, code: int = 0) -> str:
    path.write_text(f"#!/bin/sh\necho '{answer}'\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = _program(tmp_path / "mine", "Chromium 1.0")
    monkeypatch.setenv(browser.VARIABLE, mine)
    assert browser.chromium_path() == mine


def test_a_wrong_variable_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browser.VARIABLE, "/nowhere/chromium")
    with pytest.raises(browser.BrowserMissingError, match="set to '/nowhere/chromium', which does not start"):
        browser.chromium_path()


def test_a_stub_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "chromium", "install the chromium package first", code=1)
    real = _program(tmp_path / "google-chrome", "Google Chrome 1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.chromium_path() == real


def test_none_to_be_had_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no browser, no package manager
    monkeypatch.setattr(browser, "MAC_APPS", ())
    monkeypatch.setattr(browser, "_downloaded_by_playwright", lambda: iter(["/nowhere/chrome"]))
    with pytest.raises(browser.BrowserMissingError, match="install Chromium, or set MERGEGUARD_CHROMIUM"):
        browser.chromium_path()


def test_the_package_manager_is_asked_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def runs(*command: str) -> bool:
        asked.append(command[-1])
        if "install" in command:
            _program(tmp_path / "chromium", "Chromium 1.0")
        return True

    _program(tmp_path / "apt-get", "")
    monkeypatch.setattr(browser.sys, "platform", "linux")
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0)
    monkeypatch.setattr(browser, "_runs", runs)
    monkeypatch.setattr(browser, "MAC_APPS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.chromium_path() == str(tmp_path / "chromium")
    assert asked == ["-qq", "chromium"]
