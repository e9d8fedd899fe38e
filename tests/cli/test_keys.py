"""Keys on the command line: made once, told once, never left behind, never published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergeguard_hub import errors
from mergeguard_hub.protection.key import Key
from tests.cli.library import SECRET, Library, report, run


def test_a_new_key_is_told_once_on_stderr(library: Library, model: Path) -> None:
    first = run("protect", "model", "out", "--key", "deep/new.mgkey", "--quiet")
    second = run("protect", "model", "out2", "--key", "deep/new.mgkey", "--quiet")
    assert first.stdout == second.stdout == second.stderr == ""
    assert first.stderr.startswith("mergeguard: made the key deep/new.mgkey. Keep a backup of it in a safe place:")
    assert Key.load("deep/new.mgkey").secret == library.calls["protect"]["key"].secret


def test_without_a_key_option_the_source_has_its_own(library: Library, model: Path, key_folder: Path) -> None:
    result = run("protect", "model", "out", "--json")
    told = json.loads(result.stdout)["key_file"]
    assert told == {"path": str(key_folder / "model.mgkey"), "created": True}
    assert Key.load(told["path"]).secret == library.calls["protect"]["key"].secret


@pytest.mark.parametrize("failure", [errors.UnprovedLayoutError("no"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_failed_run_leaves_no_new_key(library: Library, model: Path, failure: BaseException) -> None:
    library.error = failure
    result = run("protect", "model", "out", "--key", "new.mgkey")
    assert result.exit_code != 0
    assert "made the key" not in result.stderr
    assert not Path("new.mgkey").exists()


def test_a_failed_run_keeps_an_old_key(library: Library, model: Path) -> None:
    library.error = errors.UnprovedLayoutError("no")
    run("protect", "model", "out", "--key", "k.mgkey")
    assert Key.load("k.mgkey").secret == SECRET


def test_a_failure_after_the_release_was_written_keeps_its_key(library: Library, model: Path) -> None:
    library.report = None  # type: ignore[assignment]  # whatever goes wrong while printing
    with pytest.raises(AttributeError):
        run("protect", "model", "out", "--key", "new.mgkey")
    assert json.loads(Path("out/mergeguard.json").read_text())["key_id"] == Key.load("new.mgkey").id


def test_a_release_that_is_copied_as_it_is_needs_no_new_key(library: Library, model: Path) -> None:
    library.sidecar_key, library.report = "0" * 16, report(already=True)
    result = run("protect", "model", "out", "--key", "new.mgkey", "--json")
    assert json.loads(result.stdout)["key_file"] == {"path": "new.mgkey", "created": False}
    assert (result.stderr, Path("new.mgkey").exists()) == ("", False)


@pytest.mark.parametrize("spot", ["model/k.mgkey", "out/k.mgkey"])
def test_a_key_that_would_be_published_is_refused(library: Library, model: Path, spot: str) -> None:
    result = run("protect", "model", "out", "--key", spot)
    assert (result.exit_code, library.calls, Path(spot).exists()) == (1, {}, False)
    assert "so it would be published with the model" in result.stderr


def test_a_passphrase_file_that_would_be_published_is_refused(library: Library, model: Path) -> None:
    (model / "pass").write_text("x")
    result = run("protect", "model", "out", "--key", "new.mgkey", "--passphrase-file", "model/pass")
    assert result.stderr.startswith("mergeguard: error: The passphrase model/pass lies inside model")
    assert result.exit_code == 1


def test_the_passphrase_is_the_first_line(library: Library, model: Path) -> None:
    Path("pass").write_text(" open sesame \r\nignored\n")
    Key(SECRET).save("sealed.mgkey", passphrase=" open sesame ")
    result = run("unlock", "model", "out", "--key", "sealed.mgkey", "--passphrase-file", "pass")
    assert (result.exit_code, library.calls["unlock"]["key"].secret) == (0, SECRET)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no passphrase file pass"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"\n", "The passphrase is empty"),
    ],
)
def test_bad_passphrase_files_are_named(library: Library, model: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        Path("pass").write_bytes(content)
    result = run("key", "new", "new.mgkey", "--passphrase-file", "pass")
    assert (result.exit_code, Path("new.mgkey").exists()) == (1, False)
    assert message in result.stderr


def test_key_new_and_show(model: Path) -> None:
    made = run("key", "new", "new.mgkey")
    shown = run("key", "show", "new.mgkey")
    key = Key.load("new.mgkey")
    assert made.stdout.startswith(f"Made the key {key.id} in new.mgkey.\nKeep a backup")
    assert shown.stdout == f"{key.id}\n"
    assert Path("new.mgkey").stat().st_mode & 0o777 == 0o600


def test_key_show_names_a_sealed_key_without_opening_it(model: Path) -> None:
    Path("pass").write_text("right")
    Path("wrong").write_text("wrong")
    run("key", "new", "new.mgkey", "--passphrase-file", "pass")
    results = [run("key", "show", "new.mgkey", *more) for more in ([], ["--passphrase-file", "pass"])]
    assert results[0].stdout == results[1].stdout != ""
    assert run("key", "show", "new.mgkey", "--passphrase-file", "wrong").exit_code == 1


def test_key_new_overwrites_nothing(model: Path) -> None:
    result = run("key", "new", "k.mgkey", "--json")
    assert (result.exit_code, Key.load("k.mgkey").secret) == (1, SECRET)
    assert json.loads(result.stdout)["error"] == "KeyFileError"
