"""Bad input to the real command line: one sentence, exit 1, and nothing left behind."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.cli.library import run
from tests.cli.place import contents, shell


def break_shard(here: Path) -> None:
    next(iter(sorted((here / "model").glob("*.safetensors")))).unlink()


def truncate(here: Path) -> None:
    file = next(iter(sorted((here / "model").glob("*.safetensors"))))
    file.write_bytes(file.read_bytes()[:-7])


def lie(here: Path) -> None:
    file = next(iter(sorted((here / "model").glob("*.safetensors"))))
    file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:])


def escape(here: Path) -> None:
    index = here / "model" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = {name: "../out/" + file for name, file in content["weight_map"].items()}
    index.write_text(json.dumps(content))


def poison(value: float) -> Callable[[Path], None]:
    """Return what puts a value into one weight."""

    def change(here: Path) -> None:
        file = next(iter(sorted((here / "model").glob("*.safetensors"))))
        tensors = load_file(file)
        next(iter(tensors.values())).view(-1)[0] = value
        save_file(tensors, file, metadata={"format": "pt"})

    return change


def reconfigure(**changes: Any) -> Callable[[Path], None]:
    """Return what changes config.json."""

    def change(here: Path) -> None:
        file = here / "model" / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def only_pickles(here: Path) -> None:
    for file in (here / "model").glob("*.safetensors*"):
        file.unlink()
    torch.save({}, here / "model" / "pytorch_model.bin")


def fill_target(here: Path) -> None:
    (here / "new").mkdir()
    (here / "new" / "precious").write_text("mine")


BAD_SOURCES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing shard": (break_shard, "MissingFileError"),
    "truncated": (truncate, "InvalidCheckpointError"),
    "lying header": (lie, "InvalidCheckpointError"),
    "index names a file outside": (escape, "UnsafePathError"),
    "NaN": (poison(float("nan")), "NonFiniteWeightsError"),
    "infinity": (poison(float("inf")), "NonFiniteWeightsError"),
    "unknown architecture": (
        reconfigure(architectures=["NobodyForCausalLM"], model_type="nobody"),
        "UnknownArchitectureError",
    ),
    "quantised": (reconfigure(quantization_config={"quant_method": "gptq"}), "UnsupportedFormatError"),
    "pickles only": (only_pickles, "UnsupportedFormatError"),
    "full target": (fill_target, "TargetError"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_bad_source_is_one_sentence_and_leaves_nothing(copy: Path, case: str) -> None:
    breakage, error = BAD_SOURCES[case]
    breakage(copy)
    before = contents(copy)
    result = run("protect", "model", "new", "--key", "new.mgkey", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (1, error)
    assert result.stderr.startswith("mergeguard: error: ")
    assert len(result.stderr.splitlines()) == 1
    assert contents(copy) == before


BAD_CALLS: dict[str, tuple[list[str], str]] = {
    "wrong key": (["unlock", "out", "new", "--key", "other.mgkey"], "WrongKeyError"),
    "not protected": (["unlock", "model", "new", "--key", "k.mgkey"], "NotProtectedError"),
    "target inside source": (["protect", "model", "model/new", "--key", "k.mgkey"], "TargetError"),
    "source inside target": (["protect", "deep/model", "deep", "--key", "k.mgkey"], "TargetError"),
    "base of another shape": (
        ["protect", "model", "new", "--preset", "params", "--base", "wide", "--key", "k.mgkey"],
        "BaseModelError",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_is_one_sentence_and_leaves_nothing(copy: Path, case: str) -> None:
    arguments, error = BAD_CALLS[case]
    Key(bytes(32)).save("other.mgkey")
    shutil.copytree("model", "deep/model")
    tiny.save(tiny.llama(hidden_size=48, intermediate_size=64), copy / "wide")
    before = contents(copy)
    result = run(*arguments, "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (1, error)
    assert len(result.stderr.splitlines()) == 1
    assert contents(copy) == before


def test_a_modified_release_is_not_unlocked(copy: Path) -> None:
    file = next(iter(sorted((copy / "out").glob("*.safetensors"))))
    data = bytearray(file.read_bytes())
    data[-1] ^= 0x40
    file.write_bytes(data)
    result = run("unlock", "out", "new", "--key", "k.mgkey", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (1, "ModifiedReleaseError")
    assert len(result.stderr.splitlines()) == 1
    assert not (copy / "new").exists()


def test_a_disk_that_is_full_is_one_sentence_and_leaves_nothing(copy: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    before = contents(copy)
    done = shell("protect", "model", "new", "--key", "new.mgkey", cwd=copy, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.startswith("mergeguard: error: ")
    assert len(done.stderr.splitlines()) == 1
    assert contents(copy) == before
