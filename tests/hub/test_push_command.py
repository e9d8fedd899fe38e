"""`mergeguard push`, in a process of its own, with a fresh cache; and a stranger in another one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mergeguard_hub.cli import main
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.hub_server import TOKEN, LocalHub

KEY = Key(bytes(range(32)))
STRANGER = """
import json, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("me/model").eval()
print(json.dumps(model(torch.tensor([[1, 2, 3, 4]])).logits[0, -1].tolist()))
"""


def shell(hub: LocalHub, home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments, knowing only the server and a token."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        env=hub.environment(home, HF_TOKEN=TOKEN, PYTHONPATH=str(Path(__file__).parents[2])),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_push_and_pull(tmp_path: Path) -> None:
    """Nothing here is patched: the clients read their settings from the environment, as everywhere."""
    model = tiny.llama()
    model.save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    for name in ("publisher", "stranger"):
        (tmp_path / name).mkdir()
    push = ("-m", "mergeguard_hub.cli", "push", str(tmp_path / "release"), "me/model", "--json")
    with LocalHub() as hub:
        first = shell(hub, tmp_path / "publisher", *push)
        second = shell(hub, tmp_path / "publisher", *push[:-1])
        raw = shell(hub, tmp_path / "publisher", *push[:3], str(tmp_path / "raw"), "me/other")
        answers = shell(hub, tmp_path / "stranger", "-c", STRANGER)
        assert (first.returncode, first.stderr) == (0, "")
        done = json.loads(first.stdout)
        assert done["commit"] == hub.repositories["me/model"].resolve("main").oid
        assert (done["unchanged"], done["deleted"], done["squash"]) == (False, [], None)
        assert second.stdout == "me/model: nothing to do, it holds this release already.\n"
        assert raw.returncode == 1
        assert "is not protected, so pushing it would publish raw weights" in raw.stderr
        assert "me/other" not in hub.repositories
    import torch

    expected = model(torch.tensor([[1, 2, 3, 4]])).logits[0, -1]
    assert torch.tensor(json.loads(answers.stdout)) == pytest.approx(expected.detach(), abs=1e-5)


def test_a_raw_history_is_told_once(tmp_path: Path) -> None:
    """On a line of its own, with the command; under --json as well."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    with LocalHub() as hub:
        hub.add("me/model", tmp_path / "raw")
        push = ("-m", "mergeguard_hub.cli", "push", str(tmp_path / "release"), "me/model", "--json")
        done = shell(hub, tmp_path, *push)
    squash = json.loads(done.stdout)["squash"]
    assert squash == "python -c 'from huggingface_hub import HfApi; HfApi().super_squash_history(\"me/model\")'"
    assert done.stderr.startswith("mergeguard: warning: me/model: 1 earlier commit(s), the newest ")
    assert (done.stderr.count(squash), done.stderr.count("\n")) == (1, 1)


def test_bad_input_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    """As of every command; a script gets an object."""
    (tmp_path / "empty").mkdir()
    runner = CliRunner()
    for command in (["push", str(tmp_path / "absent"), "me/model"], ["push", str(tmp_path / "empty"), "me/model"]):
        result = runner.invoke(main, command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("mergeguard: error: ")
        assert result.stderr.count("\n") == 1
    for name in ("badge", "card"):
        result = runner.invoke(main, [name, str(tmp_path / "empty"), "--json"])
        assert result.exit_code == 1
        assert json.loads(result.stdout)["error"] == "MissingFileError"
    assert runner.invoke(main, ["push", str(tmp_path)]).exit_code == 2
