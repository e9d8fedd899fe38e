"""The real command line on a tiny Llama: protect, load as a stranger, merge, verify, inspect, unlock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import tiny
from tests.cli.library import run
from tests.cli.place import SHARDED, contents, shell, weights
from tests.hub_server import LocalHub

# The way of a model


def test_the_report_names_the_key_and_full_coverage(place: Path) -> None:
    report = json.loads((place / "report.json").read_text())
    (component,) = report["components"]
    assert (report["key_id"], report["exact"], report["target"]) == ("49273e18cb8170a8", True, "out")
    assert component["architecture"] == "LlamaForCausalLM"
    assert component["covered"] >= 0.8


def test_the_release_has_the_same_files_and_one_more(place: Path) -> None:
    before, after = contents(place / "model"), contents(place / "out")
    assert set(after) - set(before) == {"mergeguard.json"}
    assert {name: len(data) for name, data in after.items() if name.endswith(".safetensors")} == {
        name: len(data) for name, data in before.items() if name.endswith(".safetensors")
    }
    assert len(weights(place / "out")) == 21


def test_a_stranger_gets_the_same_answers_from_other_weights(place: Path) -> None:
    model = tiny.llama()
    expected = tiny.outputs(model)["logits"]
    released = tiny.load(model, place / "out")
    moved = [
        name for name, tensor in weights(place / "out").items() if not tensor.equal(weights(place / "model")[name])
    ]
    torch.testing.assert_close(tiny.outputs(released)["logits"], expected, rtol=1e-5, atol=1e-5)
    assert len([name for name in moved if "proj" in name]) == 14


def test_the_average_with_the_original_is_broken(place: Path) -> None:
    """Half of each answers unlike either, although both answer the same."""
    original, released = weights(place / "model"), weights(place / "out")
    merged = tiny.llama()
    merged.load_state_dict({name: (original[name] + released[name]) / 2 for name in original})
    expected = tiny.outputs(tiny.llama())["logits"]
    drift = (tiny.outputs(merged)["logits"] - expected).norm() / expected.norm()
    assert drift > 0.5


def test_unlock_gives_the_files_back_byte_for_byte(copy: Path) -> None:
    result = run("unlock", "out", "back", "--key", "k.mgkey")
    assert result.exit_code == 0
    assert contents(copy / "back") == contents(copy / "model")


def test_the_same_key_gives_the_same_bytes_with_any_number_of_workers(place: Path, copy: Path) -> None:
    done = shell("protect", "model", "out2", "--key", "k.mgkey", "--workers", "2", "--quiet", cwd=copy)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert contents(copy / "out2") == contents(place / "out")


@pytest.mark.parametrize("preset", ["mergelock", "params"])
def test_other_presets_unlock_up_to_rounding(copy: Path, preset: str) -> None:
    tiny.save(tiny.llama(seed=3), copy / "base", **SHARDED)
    base = ["--base", "base"]
    assert run("protect", "model", "other", "--preset", preset, "--key", "k.mgkey", *base).exit_code == 0
    assert run("verify", "other", "--against", "model").exit_code == 0
    assert run("unlock", "other", "back", "--key", "k.mgkey").exit_code == 0
    original, back = weights(copy / "model"), weights(copy / "back")
    for name in original:
        torch.testing.assert_close(back[name], original[name], rtol=1e-4, atol=1e-4)


def test_protecting_a_release_again_copies_it(copy: Path) -> None:
    result = run("protect", "out", "again", "--key", "k.mgkey", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["already"]
    assert contents(copy / "again") == contents(copy / "out")


def test_a_key_is_made_and_unlocks(copy: Path, key_folder: Path) -> None:
    made = run("protect", "model", "mine", "--quiet")
    assert made.stderr.startswith(f"mergeguard: made the key {key_folder / 'model.mgkey'}. Keep a backup")
    assert run("unlock", "mine", "back", "--key", key_folder / "model.mgkey").exit_code == 0
    assert contents(copy / "back") == contents(copy / "model")


def test_a_passphrase_works_from_one_end_to_the_other(copy: Path) -> None:
    (copy / "pass").write_text("open sesame\n")
    sealed = ["--key", "sealed.mgkey", "--passphrase-file", "pass"]
    assert run("key", "new", "sealed.mgkey", "--passphrase-file", "pass").exit_code == 0
    assert run("protect", "model", "mine", *sealed).exit_code == 0
    assert run("unlock", "mine", "back", *sealed).exit_code == 0
    assert contents(copy / "back") == contents(copy / "model")


def test_nothing_in_the_release_tells_the_secret(place: Path) -> None:
    stored = json.loads((place / "k.mgkey").read_text())["secret"]
    forms = [stored.encode(), bytes(range(32)), bytes(range(32)).hex().encode()]
    for name, data in {**contents(place / "out"), "report": (place / "report.json").read_bytes()}.items():
        assert not any(form in data for form in forms), name


# Verify and inspect


def test_verify_tells_protected_modified_and_not_protected_apart(copy: Path) -> None:
    file = max((copy / "out").glob("*.safetensors"), key=lambda path: path.stat().st_size)
    before = run("verify", "out", "--against", "model")
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x01
    file.write_bytes(data)
    after = run("verify", "out")
    raw = run("verify", "model")
    assert [result.exit_code for result in (before, after, raw)] == [0, 3, 4]
    assert before.stdout.startswith("out: protected.")
    assert "out: the outputs agree with model." in before.stdout
    assert after.stdout.startswith("out: modified.")
    assert raw.stdout.startswith("model: not protected.")


def test_verify_against_another_model_fails(copy: Path) -> None:
    tiny.save(tiny.llama(seed=5), copy / "stranger", **SHARDED)
    result = run("verify", "out", "--against", "stranger")
    assert result.exit_code == 1
    assert "differ from stranger" in result.stdout


def test_a_model_that_inherited_the_claim_is_modified(copy: Path) -> None:
    for file in (copy / "out").glob("*.safetensors"):
        save_file({name: t * 2 for name, t in load_file(file).items()}, file, metadata={"format": "pt"})
    result = run("verify", "out", "--json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (3, "modified")


def test_inspect_prints_every_stage_with_coverage(copy: Path) -> None:
    plain, machine = run("inspect", "model"), run("inspect", "model", "--preset", "exact", "--json")
    stages = json.loads(machine.stdout)["stages"]
    assert (plain.exit_code, machine.exit_code) == (0, 0)
    assert "LlamaForCausalLM" in plain.stdout
    assert " %" in plain.stdout
    assert "proved" in {stage["status"] for stage in stages}
    assert all(stage["stage"] in plain.stdout for stage in stages)


# The Hub


def test_a_hub_id_is_a_source(place: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        hub.add("org/tiny", place / "model")
        done = shell(
            "protect",
            "org/tiny",
            "out",
            "--key",
            place / "k.mgkey",
            "--json",
            cwd=tmp_path,
            env=hub.environment(tmp_path),
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path / "out") == contents(place / "out")
