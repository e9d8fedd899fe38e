"""`mergeguard classify`: what it prints and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergeguard_hub.fingerprint import fingerprint_folder
from space.zoo.vision.family import WEIGHTS
from tests.cli.library import run

ZOO = Path(__file__).parents[2] / "space" / "zoo"
VISION, LANGUAGE, GEMMA = (str(ZOO / family / "weights" / "base") for family in ("vision", "language", "gemma"))


def test_each_model_is_put_to_its_base(tmp_path: Path) -> None:
    """A fingerprint file stands for its model."""
    fingerprint_folder(ZOO / "language" / "weights" / "math").save(tmp_path / "math.json")
    models = [str(WEIGHTS / "digits"), str(tmp_path / "math.json")]
    found = run("classify", *models, "--bases", VISION, LANGUAGE, "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    assert (content["method"], content["bases"]) == ("invariant", [VISION, LANGUAGE])
    assert {path: one["base"] for path, one in content["models"].items()} == dict(
        zip(models, (VISION, LANGUAGE), strict=True)
    )
    assert all(one["p_value"] < 1e-3 for one in content["models"].values())


def test_a_model_of_another_architecture_descends_from_none() -> None:
    found = run("classify", str(WEIGHTS / "digits"), "--bases", LANGUAGE)
    assert found.exit_code == 0, found.output
    assert "none of them" in found.stdout
    assert run("classify", str(WEIGHTS / "digits"), "--bases", LANGUAGE, "--quiet").stdout.endswith("digits: none\n")


def test_tensorguard_names_a_base_for_every_model() -> None:
    models = [str(ZOO / family / "weights" / name) for family, name in (("gemma", "math"), ("vision", "land"))]
    bases = ["--bases", VISION, LANGUAGE, GEMMA]
    found = run("classify", *models, *bases, "--method", "tensorguard", "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)["models"]
    assert [content[model]["base"] for model in models] == [GEMMA, VISION]
    assert content[models[0]]["p_value"] is None
    shown = run("classify", *models, *bases, "--method", "tensorguard").stdout
    assert "distance" in shown
    assert "p-value" not in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((LANGUAGE, "--bases", LANGUAGE), "is among the bases and among the models to sort"),
        ((LANGUAGE, LANGUAGE, "--bases", VISION), "is given more than once"),
        ((LANGUAGE, "--bases", VISION, "--method", "tensorguard"), "got 1; give two at least"),
        ((LANGUAGE, "--bases", VISION, GEMMA, "--method", "shapes"), "is not one of 'invariant', 'tensorguard'"),
        ((LANGUAGE,), "Missing option '--bases'"),
        (("nowhere/at/all", "--bases", VISION), "There is no folder nowhere/at/all"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    found = run("classify", *arguments)
    assert found.exit_code != 0
    assert sentence in " ".join(found.stderr.split())
    assert found.stdout == ""


def test_tensorguard_reads_no_fingerprint_files(tmp_path: Path) -> None:
    fingerprint_folder(WEIGHTS / "base").save(tmp_path / "base.json")
    file = str(tmp_path / "base.json")
    found = run("classify", file, "--bases", VISION, LANGUAGE, "--method", "tensorguard")
    assert "TensorGuard reads weights, and" in found.stderr
