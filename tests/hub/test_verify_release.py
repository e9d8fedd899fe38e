"""What a stranger can find out: verdicts on folders and repositories, and a record that keeps to its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM

from mergeguard_hub.cli import main
from mergeguard_hub.errors import MissingFileError
from mergeguard_hub.hub import enable, verify
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo
from tests.hub.schema import problems, record_schema
from tests.hub_server import CLIENT_WARNS, LocalHub

pytestmark = CLIENT_WARNS
KEY = Key(bytes(range(32)))


def _intact(hub: LocalHub, folder: Path) -> None:
    enable(tiny.llama(), key=KEY).push_to_hub("me/model")


def _finetuned(hub: LocalHub, folder: Path) -> None:
    """A derivative keeps the claim of its config through load, training and push."""
    _intact(hub, folder)
    model = AutoModelForCausalLM.from_pretrained("me/model")
    model.lm_head.weight.data.mul_(1.01)
    model.push_to_hub("me/model")


def _raw(hub: LocalHub, folder: Path) -> None:
    tiny.llama().push_to_hub("me/model")


def _raw_beside(hub: LocalHub, folder: Path) -> None:
    _intact(hub, folder)
    HfApi().upload_file(path_or_fileobj=b"\0raw", path_in_repo="pytorch_model.bin", repo_id="me/model")


CASES = {
    "intact": (_intact, "protected", 0, "me/model: protected."),
    "fine-tuned": (_finetuned, "modified", 3, "me/model: modified."),
    "raw": (_raw, "not protected", 4, "me/model: not protected."),
    "raw beside": (_raw_beside, "protected", 3, "which may be loaded instead: pytorch_model.bin"),
}


@pytest.mark.parametrize("case", CASES)
def test_verdicts_on_a_repository(hub: LocalHub, case: str, tmp_path: Path) -> None:
    """In Python, on the command line, and to scripts."""
    publish, state, code, sentence = CASES[case]
    publish(hub, tmp_path)
    found = verify("me/model")
    assert (found.verification.state, found.exit_code, found.ok) == (state, code, code == 0)
    shown = CliRunner().invoke(main, ["verify", "me/model"])
    machine = CliRunner().invoke(main, ["verify", "me/model", "--json"])
    assert (shown.exit_code, machine.exit_code) == (code, code)
    assert sentence in shown.stdout
    assert (json.loads(machine.stdout)["state"], json.loads(machine.stdout)["ok"]) == (state, code == 0)


def test_an_earlier_commit_and_the_original(hub: LocalHub, tmp_path: Path) -> None:
    """A revision is verified as such; `against` compares the outputs."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    _finetuned(hub, tmp_path)
    first = HfApi().list_repo_commits("me/model")[1].commit_id
    found = verify("me/model", revision=first, against=tmp_path / "raw")
    assert found.ok
    assert found.verification.drift[""] < 1e-5


def test_what_is_not_there(hub: LocalHub) -> None:
    """One sentence."""
    with pytest.raises(MissingFileError, match="the model 'me/absent' on .* is not there, or private"):
        verify("me/absent")


# The record


@pytest.mark.parametrize("kind", ["model", "pipeline"])
def test_the_record_keeps_to_the_schema(hub: LocalHub, kind: str, tmp_path: Path) -> None:
    """Every field that a push writes is described."""
    model = tiny.llama() if kind == "model" else zoo.pipeline(tmp_path)
    enable(model, key=KEY).push_to_hub("me/model")
    record = json.loads(hub.files("me/model")["mergeguard.json"])
    schema = record_schema()
    assert problems(record, schema, schema) == []
    assert record.keys() <= schema["properties"].keys()
    assert KEY.secret.hex() not in json.dumps(record)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"version": 2}, "is not 1"), ({"id": "x"}, "does not match"), ({"files": {"a": 1}}, "not ['string']")],
)
def test_the_schema_refuses(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    """The check itself can fail."""
    enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "out")
    record = {**json.loads((tmp_path / "out/mergeguard.json").read_text()), **changes}
    schema = record_schema()
    assert any(problem in found for found in problems(record, schema, schema))
