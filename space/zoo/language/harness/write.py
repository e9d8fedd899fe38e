"""Write the questions of the harness's task files again: `python -m space.zoo.language.harness.write`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mergeguard_hub.audit.tasks import LanguageModel, WinRateTask
from space.zoo.language.kinds import SKILLS
from space.zoo.language.tasks import task_examples, tasks

FOLDER = Path(__file__).parent
_BASE = FOLDER.parent / "weights" / "base"


def lines(skill: str, opponent: tuple[str, ...] = ()) -> Iterator[str]:
    """Return one JSON text for each test question of a skill, with the opponent's answers if there are any."""
    for position, example in enumerate(task_examples(skill)):
        record = {"prompt": example.prompt, "reference": example.reference, "answer": example.answer}
        if opponent:
            record["opponent"] = opponent[position]
        yield json.dumps(record)


def main() -> None:
    """Write the three files; the shipped base answers the style questions."""
    style = tasks(LanguageModel.load(_BASE))["style"]
    opponent = style.opponent if isinstance(style, WinRateTask) else ()
    for skill in SKILLS:
        told = lines(skill, opponent if skill == "style" else ())
        (FOLDER / f"{skill}.jsonl").write_text("".join(f"{line}\n" for line in told), encoding="utf-8")


if __name__ == "__main__":
    main()
