"""What the command line prints: sentences, tables, JSON and progress bars."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mergeguard_hub.cli import output, progress
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release.report import Progress, StageReport, Verification
from tests.cli.library import DIGEST, OTHER, PART, SECRET, Library, report, run


def test_protect_prints_what_moved_and_every_stage(library: Library, model: Path) -> None:
    printed = run("protect", "model", "out", "--key", "k.mgkey").stdout
    lines = printed.splitlines()
    row = next(line for line in lines if "LlamaForCausalLM" in line)
    assert lines[0] == "out: protected with exact, bit for bit reversible with the key."
    assert [cell.strip() for cell in row.strip("\u2502").split("\u2502")] == [
        "model",
        "LlamaForCausalLM",
        "12,345",
        "98.7 %",
        "50.0 %",
        "0",
        "2.5e-07",
    ]
    assert "HeadMix" in printed
    assert "the query-key norm does not commute" in printed
    assert lines[-2:] == [f"digest  {DIGEST}", f"key id  {Key(SECRET).id}"]


def test_protect_tells_what_is_out_of_the_ordinary(library: Library, model: Path) -> None:
    library.report = report(exact=False, parent=OTHER, narrowed={"scales": 3})
    printed = run("protect", "model", "out", "--key", "k.mgkey").stdout
    assert "reversible with the key up to rounding" in printed
    assert f"parent  {OTHER}" in printed
    assert "scales: factors only up to 2^3, so that no weight loses a bit in its dtype." in printed


def test_protect_warns_where_little_was_moved(library: Library, model: Path) -> None:
    warning = "warning: 23.2 % of the attention and MLP weights of model were moved;"
    assert warning not in run("protect", "model", "out", "--key", "k.mgkey").stdout
    library.report = report(components=(replace(PART, covered=0.232),))
    assert warning in run("protect", "model", "out2", "--key", "k.mgkey").stdout


def test_protect_says_when_nothing_was_to_be_done(library: Library, model: Path) -> None:
    library.report = report(already=True)
    assert "copied as it is" in run("protect", "model", "out", "--key", "k.mgkey").stdout


def test_quiet_prints_nothing(library: Library, model: Path) -> None:
    results = [run("protect", "model", "out", "--key", "k.mgkey", "--quiet")]
    results.append(run("unlock", "model", "out2", "--key", "k.mgkey", "--quiet"))
    assert [(result.exit_code, result.output) for result in results] == [(0, ""), (0, "")]


def test_unlock_says_what_came_back(library: Library, model: Path) -> None:
    exact = run("unlock", "model", "out", "--key", "k.mgkey").stdout
    assert exact == f"out: unlocked, the original weights, bit for bit.\ndigest  {DIGEST}\n"


def test_json_is_one_object_with_the_report(library: Library, model: Path) -> None:
    result = run("protect", "model", "out", "--key", "k.mgkey", "--json")
    expected = json.loads(json.dumps(report().to_dict()))
    extra = {"target": "out", "key_file": {"path": "k.mgkey", "created": False}}
    assert (json.loads(result.stdout), result.stderr) == ({**expected, **extra}, "")


def test_json_never_holds_the_secret(library: Library, model: Path) -> None:
    texts = [run(*command, "--json").output for command in (("key", "new", "n.mgkey"), ("key", "show", "n.mgkey"))]
    stored = json.loads(Path("n.mgkey").read_text())["secret"]
    assert not any(stored in text for text in texts)
    assert [set(json.loads(text)) for text in texts] == [{"id", "path", "encrypted"}, {"id", "path"}]


def test_inspect_prints_coverage_and_reasons(library: Library, model: Path) -> None:
    printed = run("inspect", "model").stdout
    assert printed.startswith("model: carries no protection claim.\n")
    assert "98.7 %" in printed
    assert "refused" in printed


VERDICTS = {
    "protected": (Verification("protected", DIGEST, DIGEST), 0, "m: protected. Its weights are the ones"),
    "modified": (Verification("modified", DIGEST, OTHER), 3, f"m: modified. It claims to be {DIGEST}, but its weights"),
    "not protected": (Verification("not protected", None, OTHER), 4, "m: not protected. It carries no claim"),
    "equal": (Verification("protected", DIGEST, DIGEST, {"": 1e-7}, {"": 1e-5}), 0, "m: the outputs agree with m."),
    "drifted": (
        Verification("protected", DIGEST, DIGEST, {"unet": 1e-3, "vae": 0.0}, {"unet": 1e-5, "vae": 1e-5}),
        1,
        "m: the outputs of unet differ from m by more than rounding explains.",
    ),
    "not a number": (Verification("protected", DIGEST, DIGEST, {"": float("nan")}, {"": 1e-5}), 1, "differ from m"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verify_says_what_it_found_and_exits_with_it(library: Library, model: Path, case: str) -> None:
    Path("m").mkdir()
    library.verification, code, sentence = VERDICTS[case]
    result = run("verify", "m", "--against", "m")
    machine = run("verify", "m", "--against", "m", "--json")
    assert (result.exit_code, machine.exit_code, json.loads(machine.stdout)["ok"]) == (code, code, code == 0)
    assert sentence in result.stdout
    assert result.stderr == ""


def test_json_has_no_form_for_nan(library: Library, model: Path) -> None:
    library.verification = VERDICTS["not a number"][0]
    printed = run("verify", "model", "--against", "model", "--json").stdout
    assert json.loads(printed, parse_constant=pytest.fail)["drift"] == {"": None}


def test_names_from_a_stranger_cannot_steer_the_terminal(library: Library, model: Path) -> None:
    library.report = report(stages=(StageReport("a\x1b[2Jb", "[red]Stage[/red]", {}, "refused", "line\nbreak\x07"),))
    printed = run("protect", "model", "out", "--key", "k.mgkey").stdout
    assert "a\ufffd[2Jb" in printed
    assert "[red]Stage[/red]" in printed
    assert "line break\ufffd" in printed


def test_one_line_keeps_ordinary_text() -> None:
    assert output.one_line("caf\u00e9 \u6a21\u578b a  b") == "caf\u00e9 \u6a21\u578b a  b"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_drawn_only_for_a_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress_bars(quiet=False) as callback:
        if callback is not None:
            callback(Progress("protect", 5_000_000, 10_000_000, "model.layers.0"))
    assert ("protect" in stream.getvalue(), callback is not None) == (terminal, terminal)


def test_quiet_draws_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.progress_bars(quiet=True) as callback:
        assert callback is None


def test_bars_show_bytes_rate_and_item_per_phase() -> None:
    stream = io.StringIO()
    bar = progress._bar(Console(file=stream, force_terminal=True, width=120, color_system=None))
    draw = progress.PhaseBars(bar)
    for step in (Progress("protect", 5_000_000, 10_000_000, "x" * 60 + ".tail"), Progress("verify", 0, 0, "[b]y[/b]")):
        draw(step)
    bar.refresh()
    with bar.console.capture() as capture:
        bar.console.print(bar.get_renderable())
    first, second = capture.get().splitlines()
    assert first.startswith("protect")
    assert "5.0/10.0 MB" in first
    assert first.rstrip().endswith("x.tail")
    assert second.rstrip().endswith("[b]y[/b]")
