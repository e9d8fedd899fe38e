"""Answers side by side, for the report."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.render_docs import ROOT

_RESULTS = Path(__file__).parent / "results.json"
_COLUMNS = ("defender", "partner", "unprotected merge", "protected alone", "protected merge")
_EACH = 3  # questions for each partner and task


def show(_: Path) -> None:
    """Write the table of answers that were recorded while measuring: the first questions of each task, not chosen."""
    lines = ["| question | " + " | ".join(_COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    shown: dict[tuple[str, str], int] = {}
    for answers in json.loads(_RESULTS.read_text())["answers"]:
        kind = answers["partner model"], answers["task"]
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] <= _EACH:
            lines.append("| " + " | ".join(_cell(answers[column]) for column in ("question", *_COLUMNS)) + " |")
    (ROOT / "benchmarks" / "results" / "zoo-language-answers.md").write_text("\n".join(lines) + "\n")


def _cell(text: str) -> str:
    """Return text that stays in one cell of a Markdown table and is shown as it is."""
    plain = text.strip().replace("|", "\\|").replace("`", "'")
    return "<br>".join(f"`{line}`" if line.strip() else "" for line in plain.splitlines())
