"""`mergeguard fingerprint`, `compare`, `lineage` and `verify --lineage`, on a real model and its release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import tiny
from tests.cli.library import run
from tests.release.releases import fine_tuned


@pytest.fixture
def here(copy: Path) -> Path:
    """The folder with model/ and its release out/, and besides base/, from another seed, and its fine-tune tuned/."""
    tiny.save(tiny.llama(seed=5), copy / "stranger")
    tiny.save(fine_tuned("llama"), copy / "tuned")
    return copy


def _json(*arguments: str) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_registered_fingerprint_knows_the_release(here: Path) -> None:
    found = _json("fingerprint", "model", "-o", "fp.json")
    assert (found["out"], found["bytes"]) == ("fp.json", Path("fp.json").stat().st_size)
    assert str(found["id"]).startswith("fp-")
    assert _json("compare", "fp.json", "out")["kinship"] == "same"
    assert _json("compare", "fp.json", "tuned")["kinship"] == "related"
    assert _json("compare", "fp.json", "stranger")["kinship"] == "unrelated"
    said = run("compare", "fp.json", "out", "--plot", "layers.png")
    assert "fp.json and out: the same model" in said.stdout
    assert "distance" in said.stdout
    assert Path("layers.png").read_bytes().startswith(b"\x89PNG")
    assert run("compare", "fp.json", "out", "--quiet").stdout.count("\n") == 1


def test_lineage_with_and_without_a_base(here: Path) -> None:
    found = _json("lineage", "out", "--of", "tuned", "--base", "model")
    assert (found["relation"], found["contains"]) == ("its base", False)
    assert _json("lineage", "tuned", "--of", "tuned", "--base", "model", "--others", "tuned")["contains"] is True
    unexplained = _json("lineage", "stranger", "--of", "tuned", "--base", "model")
    assert (unexplained["weight"], unexplained["weights"], unexplained["contains"]) == (None, None, False)
    assert float(str(unexplained["unexplained"])) > 0.5
    shown = run("lineage", "stranger", "--of", "tuned", "--base", "model").stdout
    assert "% of what changed is not explained" in shown
    said = run("lineage", "tuned", "--of", "model")
    assert "tuned to model: related." in said.stdout
    assert run("lineage", "tuned", "--of", "model", "--others", "out").exit_code == 1


def test_verify_compares_fingerprints(here: Path) -> None:
    run("fingerprint", "model", "-o", "fp.json")
    good = run("verify", "out", "--lineage", "fp.json")
    assert (good.exit_code, "its fingerprint is that of fp.json" in good.stdout) == (0, True)
    bad = run("verify", "out", "--lineage", "tuned", "--json")
    found = json.loads(bad.stdout)
    assert (bad.exit_code, found["ok"], found["lineage"]["kinship"]) == (1, False, "related")


def test_secrets_must_agree(here: Path) -> None:
    Path("secret.txt").write_text("something long and random\n")
    run("fingerprint", "model", "-o", "fp.json", "--secret-file", "secret.txt")
    assert _json("compare", "fp.json", "out", "--secret-file", "secret.txt")["kinship"] == "same"
    result = run("compare", "fp.json", "out")
    assert (result.exit_code, "different probes" in result.stderr) == (1, True)


def test_bad_input_is_one_sentence(here: Path) -> None:
    Path("notes.json").write_text("{}")
    for arguments in (["compare", "notes.json", "out"], ["compare", "nowhere/at/all", "out"], ["fingerprint", "."]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("mergeguard: error: ")
        assert result.stderr.count("\n") == 1
