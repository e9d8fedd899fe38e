"""The badge: what it says follows from the facts, and everybody can read it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from mergeguard_hub.cli import main
from mergeguard_hub.errors import ModifiedReleaseError, NotProtectedError
from mergeguard_hub.hub.badge import Badge, badge_of
from mergeguard_hub.hub.measured import Estimate
from mergeguard_hub.hub.refresh import refresh
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.hub.cards import MEASURED, RECORD
from tests.hub.pushing import titles
from tests.hub_server import CLIENT_WARNS, LocalHub

pytestmark = CLIENT_WARNS
SVG = "{http://www.w3.org/2000/svg}"
KEY = Key(bytes(range(32)))
HELD = replace(MEASURED, advantage=0.0, aligned=True)
SPOOFED = {**RECORD, "recipe": {"name": "measured: worst transfer 0.00", "stages": []}}


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (RECORD, {"intact": True}, "exact"),
        (SPOOFED, {"intact": True}, "custom recipe"),
        ({**RECORD, "exact": False}, {"intact": True}, "custom recipe"),
        (
            RECORD,
            {"intact": True, "measured": replace(MEASURED, worst=Estimate(-0.004, 0.02))},
            "measured: worst transfer 0.00 after attacks",
        ),
        (RECORD, {"intact": True, "measured": MEASURED}, "measured: worst transfer 0.07 after attacks"),
        (RECORD, {"intact": True, "measured": HELD}, "hardened: worst transfer 0.07 after attacks"),
        (
            RECORD,
            {"intact": True, "measured": replace(HELD, advantage=0.01)},
            "measured: worst transfer 0.07 after attacks",
        ),
        (RECORD, {"intact": True, "measured": replace(HELD, rows=())}, "exact"),
        (RECORD, {"intact": True, "measured": replace(MEASURED, digest="sha256:other")}, "exact"),
        (RECORD, {"intact": False, "measured": MEASURED}, "modified"),
    ],
)
def test_what_it_says(record: dict[str, Any], options: dict[str, Any], message: str) -> None:
    """It says "measured" and "hardened" only of these weights, and "hardened" only where alignment was no help."""
    badge = badge_of(record, **options)
    assert (badge.label, badge.message) == ("merge-protected", message)
    root = ElementTree.fromstring(badge.svg())
    assert root.get("role") == "img"
    assert root.get("aria-label") == f"merge-protected: {message}"
    assert root.findtext(f"{SVG}title") == f"merge-protected: {message}"
    assert len(badge.svg()) < 1500
    assert "http" not in badge.svg().replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("state", ["protected", "measured", "hardened", "modified"])
def test_contrast(state: Any) -> None:
    """White on each colour, as WCAG 2 measures it."""
    colours = re.findall(r'<(?:rect|path)[^>]*fill="#(\w{6})"', Badge("a", "b", state).svg())
    assert len(colours) == 2
    for colour in colours:
        assert 1.05 / (_luminance(colour) + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_hostile_names_and_shields() -> None:
    """Escaped in the picture and in the address."""
    badge = Badge("merge-protected", "</text><script>", "protected")
    assert "<script" not in badge.svg()
    ElementTree.fromstring(badge.svg())
    assert badge.shields_url() == "https://img.shields.io/badge/merge--protected-%3C%2Ftext%3E%3Cscript%3E-1f6f43"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A protected folder with a README of the user's own."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    (tmp_path / "release/README.md").write_bytes(b"# Mine\r\n\r\nText.\r\n")
    return tmp_path / "release"


def test_refresh_a_folder(release: Path) -> None:
    """Added once, and changed when the weights are."""
    assert refresh(release, "badge") == "merge-protected: exact"
    card = (release / "README.md").read_bytes().decode()
    assert card.startswith("# Mine")
    assert card.endswith("\r\n\r\nText.\r\n")
    assert "![merge-protected: exact](./mergeguard-badge.svg)" in card
    assert refresh(release, "badge") == "merge-protected: exact"
    assert (release / "README.md").read_bytes().decode() == card
    shields = CliRunner().invoke(main, ["badge", str(release), "--shields", "--json"])
    assert json.loads(shields.stdout)["badge"] == "merge-protected: exact"
    assert "](https://img.shields.io/badge/merge--protected-exact-1f6f43)" in (release / "README.md").read_text()
    (release / "model.safetensors").write_bytes((release.parent / "raw/model.safetensors").read_bytes())
    assert refresh(release, "badge") == "merge-protected: modified"
    assert "modified</text>" in (release / "mergeguard-badge.svg").read_text()
    with pytest.raises(ModifiedReleaseError, match="so its card would be wrong"):
        refresh(release, "card")


def test_an_inherited_claim_is_modified(release: Path) -> None:
    """As `verify` says it: a fine-tune saved by the library alone, without the record; the README gets a title."""
    for name in ("mergeguard.json", "README.md"):
        (release / name).unlink()
    (release / "model.safetensors").write_bytes((release.parent / "raw/model.safetensors").read_bytes())
    assert refresh(release, "badge") == "merge-protected: modified"
    assert (release / "README.md").read_text().startswith("# release\n\n<!-- mergeguard:badge:start -->")
    with pytest.raises(ModifiedReleaseError, match="so its card would be wrong"):
        refresh(release, "card")


def test_a_card_keeps_the_picture_at_shields(release: Path) -> None:
    """Until the badge is asked for without it."""
    for what, shields, kept in (("badge", True, True), ("card", False, True), ("badge", False, False)):
        refresh(release, what, shields=shields)  # type: ignore[arg-type]
        assert ("](https://img.shields.io/badge/merge--protected-exact" in (release / "README.md").read_text()) is kept


def test_nothing_on_what_is_not_protected(release: Path) -> None:
    """No badge, no file."""
    with pytest.raises(NotProtectedError, match="raw is no protected release"):
        refresh(release.parent / "raw", "badge")
    assert not (release.parent / "raw/mergeguard-badge.svg").exists()


def test_refresh_a_repository(hub: LocalHub, release: Path) -> None:
    """One commit; none if it says so already."""
    hub.add("me/model", release)
    for _ in range(2):
        assert CliRunner().invoke(main, ["card", "me/model"]).stdout == "me/model: merge-protected: exact.\n"
    assert titles(hub) == ["Upload release", "Refresh the card of mergeguard"]
    files = hub.files("me/model")
    assert b"## Merge protection" in files["README.md"]
    assert files["mergeguard-badge.svg"].startswith(b"<svg")


@pytest.mark.parametrize("what", ["badge", "card"])
def test_a_broken_readme_in_a_repository(hub: LocalHub, release: Path, what: str) -> None:
    """Told before the Hub is asked to take it; the repository stays as it is."""
    (release / "README.md").write_text("---\ntags: [\n---\n# x\n")
    hub.add("me/model", release)
    result = CliRunner().invoke(main, [what, "me/model"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "It is the README of me/model, and nothing was uploaded." in result.stderr
    assert titles(hub) == ["Upload release"]
