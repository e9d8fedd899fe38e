"""`mergeguard merge`: lists of models, settings, mergekit's configurations, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mergeguard_hub.cli import main
from mergeguard_hub.merging import Ties
from tests.checkpoint.folders import write_single
from tests.cli.library import run

BASE, ONE, TWO = ([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 1.0, 8.0], [2.0, 1.0, 6.0, 2.0])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder holds three models of one vector."""
    monkeypatch.chdir(tmp_path)
    for name, values in (("B", BASE), ("A", ONE), ("C", TWO)):
        write_single(tmp_path / name, {"w": torch.tensor(values)})
    return tmp_path


def merged(target: str = "out") -> list[float]:
    found: list[float] = load_file(f"{target}/model.safetensors")["w"].tolist()
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        "--method task_arithmetic --base B --models A --models C --scale 0.5 out",
        "--method task-arithmetic --base B --models A C --scale 0.5 out",
        "--method task_arithmetic --base B --scale=0.5 --models A C out",
        "out --method task_arithmetic --base B --scale 0.5 --models A C",
        "--models=A --method task_arithmetic --base B --models C --scale 0.5 --json out",
        "--method task_arithmetic --base B --models A C --weights 1 1 --set scale=0.5 out",
        "--method task_arithmetic --base B --models A C --scale 0.5 --set normalize=false out",
    ],
)
def test_lists_are_read_in_every_spelling(arguments: str) -> None:
    result = run("merge", *arguments.split())
    assert (result.exit_code, result.stderr) == (0, "")
    assert merged() == [2.0, 1.5, 3.5, 5.0]


def test_all_settings_of_the_issue() -> None:
    options = [
        "--method",
        "ties",
        "--base",
        "B",
        "--models",
        "A",
        "C",
        "--weights",
        "1",
        "1",
        "--density",
        "0.5",
        "out",
    ]
    result = run("merge", *options)
    assert result.stdout == "out: 2 models merged by TIES, 1 tensors.\n"
    assert (
        merged()
        == Ties(0.5).merge({"w": torch.tensor(BASE)}, [{"w": torch.tensor(m)} for m in (ONE, TWO)])["w"].tolist()
    )


def test_negative_weights_are_numbers_and_not_options() -> None:
    run(
        "merge",
        *[
            "--method",
            "task_arithmetic",
            "--scale",
            "1",
            "--base",
            "B",
            "--weights",
            "2",
            "-1",
            "--models",
            "A",
            "C",
            "out",
        ],
    )
    assert merged() == [2.0, 3.0, -4.0, 14.0]


def test_other_settings_are_json_or_words() -> None:
    command = "--method metrics_weighted_averaging --models A C --set losses=[1.0,0.5] scheme=power out"
    assert run("merge", *command.split()).exit_code == 0
    assert merged() == pytest.approx([2.0, 4 / 3, 13 / 3, 4.0])


def test_a_method_without_base_takes_the_layout_of_the_first() -> None:
    assert run("merge", *["--method", "slerp", "--models", "A", "C", "--t", "0", "out"]).exit_code == 0
    assert merged() == ONE


def test_a_configuration_of_mergekit() -> None:
    Path("linear.yml").write_text(
        "merge_method: linear\nmodels: [{model: A, parameters: {weight: 3}}, {model: C, parameters: {weight: 1}}]\n"
    )
    result = run("merge", "linear.yml", "out", "--json")
    assert json.loads(result.stdout) == {"target": "out", "method": "Weight averaging", "tensors": 1, "bytes": 16}
    assert merged() == [2.0, 1.75, 2.25, 6.5]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("out", 2, "Give --method and --models, or the path of a mergekit configuration before DST"),
        ("--method ties --models A C out", 2, "TIES needs the base model: give --base"),
        ("--method stew --models A C out", 2, "'stew' is not one of weight_averaging, task_arithmetic, ties"),
        ("--method slerp --models A C --set t out", 2, "'t' has no '='; write NAME=VALUE"),
        ("a.yml out --density 0.5", 2, "a.yml says it all, so --density cannot be given as well"),
        ("a b c", 2, "Got 3 paths: give DST alone, or CONFIG.yml and DST"),
        ("a.yml out", 1, "a.yml cannot be read"),
        ("--method slerp --models A C --density 0.5 out", 1, "SLERP has no setting 'density'; it has t"),
        ("--method ties --base B --models A C --density 0 out", 1, "density is 0.0, and must be above 0"),
        ("--method ties --base B --models A C --weights 1 out", 1, "There are 1 weights for 2 models"),
        ("--method slerp --models A nowhere out", 1, "nowhere"),
        (
            "--method weight_averaging --models A D out",
            1,
            r"'w' has shape \(4,\) in the base and \(3,\) in model 2 of 2",
        ),
    ],
)
def test_refuses(here: Path, arguments: str, code: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_single(here / "D", {"w": torch.zeros(3)})
    result = run("merge", *arguments.split())
    assert result.exit_code == code
    assert re.search(message, result.stderr), result.stderr
    assert not Path("out").exists()


def test_help_names_its_options() -> None:
    found = run("merge", "--help").stdout
    assert "merge" in main.commands
    assert all(option in found for option in ("--method", "--models", "--weights", "--density", "CONFIG.yml"))
