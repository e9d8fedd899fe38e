"""The cards of the zoo's releases: rendered from their results, whole files, and the results are the zoo's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.model_cards import AUDITS, CARDS, ZOO, measured_merges, releases, render
from mergeguard_hub.audit import AuditReport
from mergeguard_hub.hub.measured import from_audit

NAMES = sorted(path.name for path in CARDS.iterdir() if path.is_dir())


def test_every_release_of_the_zoo_has_a_card() -> None:
    """Those whose merges were measured."""
    assert sorted(f"{family}-{model}" for family, model, _ in releases()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_what_its_results_say(name: str) -> None:
    """Every character of it, and of its badge."""
    results = json.loads((CARDS / name / "results.json").read_text(encoding="utf-8"))
    for file, text in render(results).items():
        assert (CARDS / name / file).read_text(encoding="utf-8") == text


def test_the_card_of_a_hardened_release_tells_of_its_advantage_and_not_of_a_fence() -> None:
    card = (CARDS / "vision-scenes-hardened" / "README.md").read_text(encoding="utf-8")
    assert "![merge-protected: hardened: worst transfer 0.05 after attacks]" in card
    assert "A free-rider who uses this release gets 0.01 less than with the best merge without it." in card
    assert "a fence, not a lock" not in card


@pytest.mark.parametrize("name", NAMES)
def test_the_results_are_those_of_the_zoo(name: str) -> None:
    """`python -m benchmarks.model_cards` writes them again after the zoo was trained, measured or audited anew."""
    family, model = name.split("-", 1)
    results = json.loads((CARDS / name / "results.json").read_text(encoding="utf-8"))
    digest = results["record"]["digest"]
    audit = AUDITS / f"{family}{'-hardened' if model.endswith('-hardened') else ''}.json"
    content = AuditReport.read(audit).content if audit.exists() else None
    if content is not None and content["models"]["original"]["name"] == model.removesuffix("-hardened"):
        measured = from_audit(content, digest)
    else:
        measured = measured_merges(model, json.loads((Path(ZOO) / family / "results.json").read_text("utf-8")), digest)
    assert measured is not None
    assert results["measured"] == json.loads(json.dumps(asdict(measured)))
    assert max(row.protected.value for row in measured.rows) < max(row.control.value for row in measured.rows)
