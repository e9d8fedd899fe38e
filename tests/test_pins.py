"""One version of each tool and one version of the package, wherever they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mergeguard_hub

ROOT = Path(__file__).resolve().parent.parent


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): str(r.specifier) for r in requirements}


def _pyproject_requirements() -> list[Requirement]:
    text = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = \[.*?^\[project.scripts\]", text, re.MULTILINE | re.DOTALL)
    assert dependencies is not None
    quoted = re.findall(r'"([A-Za-z][\w.-]*(?:\[[\w,]+\])?(?:[<>=!~].*?)?)"(?:\s*[,\]])', dependencies[0])
    return [Requirement(text) for text in quoted]


def test_every_constraint_is_exact_and_without_a_local_version() -> None:
    assert {name: pin for name, pin in _constraints().items() if not re.fullmatch(r"==[\w.]+", pin)} == {}


def test_every_dependency_is_pinned_within_its_own_bound() -> None:
    pins = _constraints()
    asked = [r for r in _pyproject_requirements() if r.name != "mergeguard-hub"]
    assert {"torch", "gradio", "ruff", "cryptography"} <= {r.name for r in asked}
    for requirement in asked:
        assert str(requirement.specifier).startswith(">="), requirement
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)][2:]), requirement


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_the_same_tool_everywhere(tool: str) -> None:
    pin = _constraints()[tool][2:]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = {
        "ruff": [repo["rev"] for repo in hooks if repo["repo"].endswith("/ruff-pre-commit")],
        "mypy": [
            dependency.replace("mypy==", "v")
            for repo in hooks
            for hook in repo["hooks"]
            for dependency in hook.get("additional_dependencies", [])
            if dependency.startswith("mypy==")
        ],
    }
    assert revisions[tool] == [f"v{pin}"]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert set(re.findall(rf"\b{tool}==([\w.]+)", workflow)) == {pin}


def test_one_version_of_the_package() -> None:
    version = mergeguard_hub.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    released = re.search(r"^## \[(\d\S*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released is not None
    assert released[1] == version
