"""Merging in the wild on the zoo's vision family: `python -m benchmarks.study` writes results/study-vision.md."""

from __future__ import annotations

from pathlib import Path

from mergeguard_hub import protect_folder
from mergeguard_hub.audit.study import study
from mergeguard_hub.audit.table import study_markdown
from space.release import DEMO_KEY
from space.zoo.vision.family import WEIGHTS
from space.zoo.vision.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "study-vision"
RESULT = ROOT / "benchmarks" / "results" / "study-vision.md"
RELEASED = "scenes"
LIMIT = 200  # items of each task, so that the study takes minutes


def main() -> None:
    """Carry the study out, print its table and write it."""
    release = WORK / "release"
    if not release.exists():
        protect_folder(WEIGHTS / RELEASED, release, key=DEMO_KEY, base=WEIGHTS / "base")
    found = study(
        WEIGHTS / "base",
        models=[WEIGHTS / name for name in TASKS],
        tasks=[f"space.zoo.tasks:vision_{name}" for name in TASKS],
        releases={RELEASED: release},
        work=WORK / "work",
        limit=LIMIT,
    )
    text = study_markdown(found)
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
