"""Starting mergekit's own interpreter with one order, and what to say where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import EngineError

PYTHON_VARIABLE = "MERGEGUARD_MERGEKIT_PYTHON"
PINNED = "mergekit==0.1.5"  # the version that the tests run

_CHILD = Path(__file__).with_name("mergekit_child.py")
_LAST_LINES = 3  # of what mergekit said, for an error


def run_mergekit(order: Mapping[str, Any], python: str | Path | None) -> Any:
    """Carry out one order, see `mergekit_child.main`, and return the answer.

    Args:
        order: anything that JSON has a form for.
        python: interpreter of the environment that has mergekit; by default $MERGEGUARD_MERGEKIT_PYTHON.

    Raises:
        EngineError: there is no mergekit, or it ended before it had an answer.
    """
    interpreter = _interpreter(python)
    # Isolated (-I), or the folder of the script, where a module is named mergekit, would come before theirs.
    done = subprocess.run(
        [interpreter, "-I", str(_CHILD)], input=json.dumps(order), capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return json.loads(done.stdout)
    said = " | ".join(line.strip() for line in done.stderr.splitlines() if line.strip()) or "nothing"
    if "No module named 'mergekit'" in said:
        raise EngineError(f"{interpreter} has no mergekit. {_remedy()}")
    raise EngineError(
        f"mergekit ended with code {done.returncode} and said: {' | '.join(said.split(' | ')[-_LAST_LINES:])}. "
        "Was it killed for want of memory?"
    )


def _interpreter(python: str | Path | None) -> str:
    named = python or os.environ.get(PYTHON_VARIABLE)
    if not named:
        raise EngineError(f"mergekit runs in an environment of its own, and none is named. {_remedy()}")
    found = shutil.which(Path(named).expanduser())
    if found is None:
        raise EngineError(f"{named} is no program, and should be the Python that has mergekit. {_remedy()}")
    return found


def _remedy() -> str:
    return (
        f"Make one with `python -m venv venv-mergekit && venv-mergekit/bin/pip install {PINNED}` (in a checkout: "
        f"`make mergekit`), and set {PYTHON_VARIABLE}=venv-mergekit/bin/python, or pass python=."
    )
