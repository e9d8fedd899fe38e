"""Seconds that the zoo's models take to answer a question or to draw four pictures: `python -m benchmarks.answering`.

Every model is loaded by the plain classes of transformers and diffusers, and used as docs/zoo.md scores it.
Writes benchmarks/results/answering.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.render_docs import ROOT
from mergeguard_hub.audit.tasks import LanguageModel
from space.zoo.images.models import load_pipeline
from space.zoo.images.tasks import PICTURES, STEPS, draw, skill
from space.zoo.language.tasks import LONGEST_ANSWER, questions

RESULT = ROOT / "benchmarks" / "results" / "answering.md"
ZOO = ROOT / "space" / "zoo"
MODELS = {"language": ("math", "code", "style"), "gemma": ("math", "code", "style")}
PIPELINES = ("hero", "styles", "papercut", "neon")
RUNS, PICTURES_AT_ONCE = 8, 4


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds something took, and what it gave."""
    start = time.perf_counter()
    given = act()
    return time.perf_counter() - start, given


def row(label: str, what: str, load: Callable[[], Any], use: Callable[[Any, int], Any]) -> str:
    """Load a model, use it `RUNS` times, each on something else, and return the row of the table."""
    load_s, model = timed(load)
    seconds = [timed(lambda number=number: use(model, number))[0] for number in range(RUNS)]
    later = seconds[1:]
    return f"| {label} | {what} | {load_s:.2f} | {seconds[0]:.2f} | {statistics.median(later):.2f} | {max(later):.2f} |"


def answer(skill_name: str) -> Callable[[LanguageModel, int], list[str]]:
    """Return what asks one of a skill's test questions."""
    asked = questions(skill_name)
    return lambda model, number: model.answer([asked[number].prompt], max_new_tokens=LONGEST_ANSWER)


def picture(name: str) -> Callable[[Any, int], Any]:
    """Return what has four of a task's prompts drawn."""
    prompts = skill(name, None).prompts  # type: ignore[arg-type]  # nothing is judged

    def use(pipeline: Any, number: int) -> Any:
        first = number * PICTURES_AT_ONCE
        seeds = range(first, first + PICTURES_AT_ONCE)
        return draw(pipeline, [prompts[seed % PICTURES] for seed in seeds], list(seeds))

    return use


def rows() -> Iterator[str]:
    """Yield the rows of the table."""
    yield "| model | what | load, s | first, s | median of the others, s | most of the others, s |"
    yield "|---|---|---|---|---|---|"
    for family, names in MODELS.items():
        for name in names:
            folder = ZOO / family / "weights" / name
            what = f"one question, at most {LONGEST_ANSWER} tokens"
            yield row(f"{family}, {name}", what, lambda folder=folder: LanguageModel.load(folder), answer(name))
    for name in PIPELINES:
        folder = ZOO / "images" / "weights" / name
        what = f"{PICTURES_AT_ONCE} pictures, {STEPS} steps"
        yield row(f"images, {name}", what, lambda folder=folder: load_pipeline(folder), picture(name))


def main() -> None:
    """Measure, print and write down."""
    load_before = os.getloadavg()[0]
    lines = list(rows())
    facts = (
        f"{RUNS} questions or batches each, one after another; {os.cpu_count()} processors ({platform.machine()}), "
        f"load average {load_before:.1f} before and {os.getloadavg()[0]:.1f} after; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads. Imports are not timed, but those that loading itself makes are."
    )
    text = facts + "\n\n" + "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
