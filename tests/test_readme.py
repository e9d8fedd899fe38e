"""The README is true: its Python runs in order, its commands work, and the make targets it names exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from tests import tiny

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = "import sys; from mergeguard_hub.cli import main; sys.argv[0] = 'mergeguard'; main()"


def _blocks(language: str) -> list[tuple[int, str]]:
    """Return the fenced blocks of a language, each with the number of its first line."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [(README.count("\n", 0, match.start(1)), match[1]) for match in found]


def _commands() -> list[str]:
    lines = [line for _, block in _blocks("console") for line in block.splitlines()]
    return [line for line in lines if line.startswith("mergeguard ")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test with a fine-tuned model in the working directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    tiny.save(tiny.llama(), work / "my-finetune")
    monkeypatch.chdir(work)
    return work


def test_the_python_of_the_readme_runs_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = _blocks("python")
    assert len(blocks) >= 3
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    for line, block in blocks:
        exec(compile("\n" * line + block, str(ROOT / "README.md"), "exec"), module.__dict__)
    original = tiny.outputs(tiny.llama())["logits"]
    released = tiny.load(tiny.llama(), home / "release")
    assert type(released).__name__ == "LlamaForCausalLM"
    torch.testing.assert_close(tiny.outputs(released)["logits"], original, rtol=1e-5, atol=1e-5)
    name = "model.safetensors"
    assert (home / "release" / name).read_bytes() != (home / "my-finetune" / name).read_bytes()
    assert (home / "original" / name).read_bytes() == (home / "my-finetune" / name).read_bytes()


def test_the_commands_of_the_readme_work(home: Path) -> None:
    commands = _commands()
    assert {shlex.split(command)[1] for command in commands} == {"protect", "unlock", "verify", "inspect"}
    for command in commands:
        arguments = [os.path.expanduser(word) for word in shlex.split(command)[1:]]
        done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert done.stdout
    assert (home / "original-4" / "model.safetensors").is_file()


def test_the_two_commands_come_first() -> None:
    _, first = _blocks("console")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
    assert README.index("make demo") < 200


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = re.findall(r"(?:^|`)make ((?:[a-z-]+ ?)+)", (ROOT / document).read_text(), re.MULTILINE)
    named = {word for line in lines for word in line.split()}
    assert {"demo", "test"} <= targets
    assert named
    assert named <= targets


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/design.md", "docs/threat-model.md"]
)
def test_every_local_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
