"""The command line alone: what it asks of the library, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mergeguard_hub
from mergeguard_hub import errors
from tests.cli.library import SECRET, Library, run

# What is asked of the library


def test_protect_passes_every_option_on(library: Library, model: Path) -> None:
    Path("base").mkdir()
    options = ["--preset", "params", "--base", "base", "--workers", "2", "--no-verify", "--exclude", "*.bin"]
    result = run("protect", "model", "out", "--key", "k.mgkey", *options, "--exclude", "extra/*")
    given = library.calls["protect"]
    assert (result.exit_code, given.pop("key").secret) == (0, SECRET)
    assert given == {
        "source": Path("model"),
        "target": Path("out"),
        "recipe": "params",
        "base": Path("base"),
        "workers": 2,
        "verify": False,
        "exclude": ("*.bin", "extra/*"),
        "progress": None,
    }


def test_protect_alone_means_exact_and_verified(library: Library, model: Path) -> None:
    run("protect", "model", "out", "--key", "k.mgkey")
    given = library.calls["protect"]
    assert (given["recipe"], given["verify"], given["workers"], given["base"]) == ("exact", True, None, None)


def test_unlock_passes_every_option_on(library: Library, model: Path) -> None:
    result = run("unlock", "model", "out", "--key", "k.mgkey", "--workers", "2", "--exclude", "*.pt")
    given = library.calls["unlock"]
    assert (result.exit_code, given.pop("key").secret) == (0, SECRET)
    assert given == {
        "source": Path("model"),
        "target": Path("out"),
        "workers": 2,
        "exclude": ("*.pt",),
        "progress": None,
    }


def test_verify_and_inspect_pass_every_option_on(library: Library, model: Path) -> None:
    run("verify", "model", "--against", "model")
    run("inspect", "model", "--preset", "mergelock")
    run("inspect", "model", "--json")
    assert library.calls == {
        "verify": {"path": Path("model"), "against": Path("model"), "progress": None},
        "inspect": {"path": Path("model"), "recipe": "exact", "progress": None},
    }


# How it ends


@pytest.mark.parametrize("name", sorted(name for name in vars(errors) if name.endswith("Error")))
def test_every_error_is_one_line_and_one_object(library: Library, model: Path, name: str) -> None:
    library.error = getattr(errors, name)("What is wrong,\nthe cause,\x1b and what to do.")
    plain = run("inspect", "model")
    machine = run("inspect", "model", "--json")
    sentence = "What is wrong, the cause,\ufffd and what to do."
    assert (plain.exit_code, plain.stdout, plain.stderr) == (1, "", f"mergeguard: error: {sentence}\n")
    assert (machine.exit_code, machine.stderr) == (1, plain.stderr)
    assert json.loads(machine.stdout) == {"error": name, "message": sentence}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), "No space left on device (out/x); free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "Permission denied (out); check who owns"),
        (OSError("odd"), "The operating system refused: odd; check the path and the disk."),
    ],
)
def test_the_operating_system_is_quoted_in_one_sentence(
    library: Library, model: Path, error: OSError, message: str
) -> None:
    library.error = error
    result = run("protect", "model", "out", "--key", "k.mgkey")
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [(), ("protect",), ("protect", "model", "out", "--preset", "x"), ("protect", "m", "o", "--workers", "0")],
)
def test_wrong_usage_exits_with_two(model: Path, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_an_empty_target_is_not_this_folder(library: Library, model: Path) -> None:
    result = run("protect", "model", "", "--key", "k.mgkey")
    assert (result.exit_code, "the path is empty" in result.stderr, library.calls) == (2, True, {})


def test_an_interrupt_exits_with_130(library: Library, model: Path) -> None:
    library.error = KeyboardInterrupt()
    result = run("protect", "model", "out", "--key", "k.mgkey", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "mergeguard: interrupted\n")


def test_a_source_that_does_not_exist_is_one_sentence(library: Library, model: Path) -> None:
    result = run("protect", "./nowhere", "out", "--key", "new.mgkey")
    assert result.stderr.startswith("mergeguard: error: There is no folder nowhere, and './nowhere' cannot be a model")
    assert (result.exit_code, Path("new.mgkey").exists()) == (1, False)


def test_a_bug_shows_a_traceback_without_the_secret(library: Library, model: Path) -> None:
    code = """
import sys
from pathlib import Path
import mergeguard_hub.release as release
def broken(source, target, *, key, **settings):
    raise ZeroDivisionError(f"a bug with {key} in {settings}")
release.protect_folder, release.read_sidecar = broken, lambda path: None
from mergeguard_hub.cli import main
main(["protect", "model", "out", "--key", "k.mgkey"])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    stored = json.loads(Path("k.mgkey").read_text())["secret"]
    assert done.returncode == 1
    assert "a bug with Key(id='49273e18cb8170a8')" in done.stderr
    assert not any(form in done.stderr for form in (stored, repr(SECRET), SECRET.hex()))


# Speed of --help


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mergeguard_hub.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'rich', 'huggingface_hub'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command",
    [[], ["protect"], ["unlock"], ["verify"], ["inspect"], ["push"], ["badge"], ["card"], ["key"], ["key", "new"]],
)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_version_is_the_package_version() -> None:
    assert run("--version").stdout == f"mergeguard, version {mergeguard_hub.__version__}\n"
