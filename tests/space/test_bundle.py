"""The folder that is uploaded as a Space is whole, and asks for the versions that the project is tested with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from click.testing import CliRunner

from space.bundle import SPACE, main

ROOT = SPACE.parent


def front_matter() -> dict[str, str]:
    text = (SPACE / "README.md").read_text(encoding="utf-8")
    parsed: dict[str, str] = yaml.safe_load(text.split("---\n")[1])
    return parsed


def test_the_bundle_runs_on_its_own(tmp_path: Path) -> None:
    out = tmp_path / "my-space"
    done = CliRunner().invoke(main, [str(out)])
    assert (done.exit_code, done.output) == (0, f"Upload {out} as a Space.\n")
    names = {path.name for path in out.iterdir()}
    assert names == {"README.md", "requirements.txt", "app.py", "space", "mergeguard_hub", "docs"}
    assert {"images.json", "language.json", "vision.json"} <= {path.name for path in (out / "docs" / "audit").iterdir()}
    assert (out / front_matter()["app_file"]).is_file()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "app.py", "--help"]
    shown = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=True).stdout
    assert "Serve the page until it is stopped" in shown


def test_the_bundle_refuses_a_folder_that_exists(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(tmp_path)])
    assert done.exit_code == 1
    assert f"{tmp_path} exists already: remove it, or name another folder." in done.output


def test_the_space_asks_for_the_tested_versions() -> None:
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    asked = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(asked) - set(tested) == set()
    assert f"gradio=={front_matter()['sdk_version']}" in tested
    needed = re.findall(r'^    "([a-z_]+)>=', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"torch", "transformers", "huggingface_hub"} <= set(needed)
