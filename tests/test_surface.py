"""What a user can import, what a room may import, and how much an import costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mergeguard_hub"
FILES = sorted(PACKAGE.rglob("*.py"))
PUBLIC = sorted(
    ".".join(path.relative_to(ROOT).parent.parts) for path in FILES if path.name == "__init__.py"
)  # the package and its rooms: their `__all__` is the public surface
FLOORS = (  # a room may import from every lower floor, not from its neighbours
    {"errors"},
    {"checkpoint", "architecture"},
    {"protection", "training", "merging", "attacks", "fingerprint"},
    {"release"},
    {"audit"},
    {"hub"},
    {"cli"},
)
ONLY = {"huggingface_hub": "hub", "gradio": "space"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "handler", "process"}
MAX_FILE_LINES = 250
MAX_FUNCTION_LINES = 40
MAX_IMPORT_S = 0.3

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imported(path: Path) -> set[str]:
    """Return the dotted names of all modules that the file imports, anywhere in it; relative ones made absolute."""
    package = path.relative_to(ROOT).parent.parts
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def _allowed(room: str) -> set[str]:
    """Return what `room` may import from the package: rooms on lower floors, itself, and the version."""
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    return set().union(*FLOORS[:floor]) | {room, "__version__"}


@pytest.mark.parametrize("module", PUBLIC)
def test_all_is_exactly_the_public_surface(module: str) -> None:
    """Every name in `__all__` is there, sorted, said once, and described; nothing else without underscore is public."""
    found = importlib.import_module(module)
    if not hasattr(found, "__all__"):
        pytest.fail(f"{module} has no __all__")
    assert list(found.__all__) == sorted(set(found.__all__), key=_isort_key)
    for name in found.__all__:
        value = getattr(found, name)
        if callable(value):
            assert value.__doc__, f"{module}.{name} has no docstring"
    submodules = {path.stem for path in Path(str(found.__file__)).parent.iterdir()}
    loose = {name for name in vars(found) if not name.startswith("_")} - set(found.__all__) - submodules
    defined = {name for name in loose if str(getattr(vars(found)[name], "__module__", "")).startswith("mergeguard_hub")}
    assert defined == set()
    assert set(found.__all__) <= set(dir(found))


def _isort_key(name: str) -> tuple[int, str]:
    """Sort as ruff does: constants, then classes, then the rest."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


@each_file
def test_rooms_import_only_from_lower_floors(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return  # the package's front door exports from every room, lazily
    assert room in set().union(*FLOORS), f"{room} has no place in the import law"
    rooms = {name.split(".")[1] for name in _imported(path) if name.startswith("mergeguard_hub.")}
    assert rooms - _allowed(room) == set()


@pytest.mark.parametrize("name", ["mergeguard.json", "mergeguard_training"])
def test_names_that_rooms_share_are_written_once(name: str) -> None:
    constants = [node for path in FILES for node in ast.walk(_tree(path)) if isinstance(node, ast.Constant)]
    assert [node.value for node in constants if node.value == name] == [name]


@each_file
def test_only_the_hub_imports_huggingface_hub_and_only_the_space_imports_gradio(path: Path) -> None:
    roots = {name.split(".")[0] for name in _imported(path)}
    assert {library for library, room in ONLY.items() if library in roots and _room(path) != room} == set()


@each_file
def test_files_and_functions_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    long = {
        f"{node.name}: {_body_lines(node)}"
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _body_lines(node) > MAX_FUNCTION_LINES
    }
    assert long == set()


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, its docstring left out."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@each_file
def test_files_say_what_they_are_for(path: Path) -> None:
    assert ast.get_docstring(_tree(path)), "no module docstring"
    assert not set(path.relative_to(PACKAGE).with_suffix("").parts) & FORBIDDEN_NAMES
    named = {node.name for node in ast.walk(_tree(path)) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert not {name.lower().strip("_") for name in named} & FORBIDDEN_NAMES


_TIMED = """
import sys, time
import torch
start = time.perf_counter()
import mergeguard_hub
print(time.perf_counter() - start)
print(*sorted({"transformers", "diffusers", "peft", "huggingface_hub", "scipy", "cryptography"} & set(sys.modules)))
"""


def test_importing_the_package_costs_next_to_nothing() -> None:
    runs = [
        subprocess.run([sys.executable, "-c", _TIMED], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for _ in range(3)
    ]
    assert min(float(run.splitlines()[0]) for run in runs) < MAX_IMPORT_S
    assert runs[0].splitlines()[1:] == [""], "heavy libraries are imported before they are needed"


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    assert "mergeguard_hub/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mergeguard_hub"}
    assert {"mergeguard_hub/hub/card_template.md", "mergeguard_hub/hub/mergeguard.schema.json"} <= set(names)
    expected = {str(path.relative_to(ROOT)) for path in FILES}
    assert {name for name in names if name.endswith(".py")} == expected
