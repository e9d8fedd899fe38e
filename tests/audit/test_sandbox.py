"""Programs in the sandbox: what runs, what is stopped, and how each ending is told."""

from __future__ import annotations

import os
import re
import socket
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from mergeguard_hub.audit.tasks import SandboxResult, run_python, sandbox
from mergeguard_hub.errors import TaskError

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes the network and the rest of the disk away")


def test_a_program_that_reaches_its_end() -> None:
    assert run_python("import math\nprint(math.comb(5, 2))") == SandboxResult(True, "ran to its end", "10\n")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("assert 1 + 1 == 3, 'no'", "AssertionError: no"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: "),
        ("if True:\nx", "IndentationError: "),
        ("def f(): f()\nf()", "RecursionError: "),
        ("import torch", "ModuleNotFoundError: No module named 'torch'"),
        ("input()", "EOFError: "),
        ("x = '\\ud800'; print(x)", "UnicodeEncodeError: "),
        ("\0", "SyntaxError: |ValueError: "),
        ("import sys; sys.exit(3)", "ended early with exit code 3"),
        ("import sys; sys.exit('bad')", "ended early with exit code 1"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_program_that_fails(code: str, reason: str) -> None:
    result = run_python(code)
    assert not result.ok
    assert re.match(reason, result.reason)


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(0)",
        "import sys; sys.exit()",
        "quit = exit = None; raise SystemExit",
        "import os; os._exit(0)",
        "import os\nos.write(1, b'\\n' + b'0' * 32 + b'\\n')\nos._exit(0)",  # a guessed token
    ],
)
def test_leaving_early_with_success_is_not_reaching_the_end(code: str) -> None:
    result = run_python(code)
    assert (result.ok, result.reason) == (False, "ended early with exit code 0")


def test_what_a_program_does_to_its_own_output_does_not_hide_its_end() -> None:
    assert run_python("import io, sys\nsys.stdout = io.StringIO()\nprint('lost')").ok


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(60)"])
def test_a_program_without_end_is_stopped(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_PATIENCE", 2)
    result = run_python(code, time_s=0.5)
    assert result.reason == "took more than 1 s of processor time, or 2 times that on the clock"
    assert not result.ok


def test_a_memory_hog_is_stopped() -> None:
    assert run_python("x = bytearray(2**31)").reason == "MemoryError"
    assert run_python("x = bytearray(2**27)").ok


def test_output_without_end_is_stopped_and_cut() -> None:
    result = run_python("while True: print('x' * 999)")
    assert (result.ok, result.reason, len(result.output)) == (False, "wrote more than 1048576 bytes", 2000)


def test_a_large_file_is_refused() -> None:
    assert run_python("open('big', 'wb').write(bytes(2**21))").reason == "OSError: [Errno 27] File too large"


FORKS = """
import os
children = 0
for _ in range(3):  # bounded, should the limit not hold
    try:
        if os.fork() == 0:
            os._exit(0)
        children += 1
    except OSError:
        pass
assert children == 0, children
"""


@linux
def test_no_process_or_thread_is_started() -> None:
    assert run_python(FORKS) == SandboxResult(True, "ran to its end", "")
    assert "can't start new thread" in run_python("import threading\nthreading.Thread(target=print).start()").reason
    assert not run_python("import subprocess\nsubprocess.run(['/bin/true'])").ok


@linux
def test_nothing_is_written_outside_the_own_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    mine.chmod(0o666)
    for attempt in ("open(path, 'w')", "os.remove(path)", "os.rename(path, 'taken')", "os.chmod(path, 0)"):
        assert re.match("PermissionError|OSError", run_python(f"import os\npath = {str(mine)!r}\n{attempt}").reason)
    assert not run_python(f"open({str(tmp_path / 'new')!r}, 'w')").ok
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine.txt", "mine")]
    assert mine.stat().st_mode & 0o777 == 0o666


HERE = """
import os
assert os.listdir() == []
open('a', 'w').write('b')
assert open('a').read() == 'b'
print(os.getcwd())
"""


def test_the_own_folder_is_empty_writable_and_gone_afterwards() -> None:
    result = run_python(HERE)
    assert result.ok, result
    assert not Path(result.output.strip()).exists()


@linux
def test_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        result = run_python(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)")
        assert not result.ok
        with pytest.raises(TimeoutError):
            server.accept()


@linux
def test_no_signal_reaches_another_process() -> None:
    assert "Operation not permitted" in run_python(f"import os, signal\nos.kill({os.getpid()}, signal.SIGTERM)").reason


def test_nothing_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    result = run_python(
        "import os, sys\nassert 'HF_TOKEN' not in os.environ\nprint(sys.flags.isolated, sys.flags.no_site)"
    )
    assert (result.ok, result.output) == (True, "1 1\n")


def test_programs_may_run_side_by_side() -> None:
    """The audit spreads its cells over threads."""
    found: dict[int, SandboxResult] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: run_python(f"print({n})")})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: result.output for n, result in found.items()} == {n: f"{n}\n" for n in range(4)}


@pytest.mark.parametrize("settings", [{"time_s": 0}, {"time_s": -1}, {"time_s": float("inf")}, {"memory_bytes": 0}])
def test_limits_are_above_zero(settings: dict[str, float]) -> None:
    with pytest.raises(TaskError, match="both must be above 0"):
        run_python("pass", **settings)  # type: ignore[arg-type]


def test_the_child_needs_only_the_standard_library() -> None:
    """It runs without site packages, and from source: no compiled copy, no package around it."""
    source = (Path(__file__).parents[2] / "mergeguard_hub" / "audit" / "tasks" / "confined.py").read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", textwrap.dedent(source), re.MULTILINE))
    assert imported <= sys.stdlib_module_names
