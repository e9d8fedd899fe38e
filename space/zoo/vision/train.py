"""Train the vision family again: `python -m space.zoo.vision.train [--out FOLDER]`, minutes on one core.

A run that was stopped goes on where it was: finished models are kept, and the one at hand is saved every 50 steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch
import transformers
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers.utils.logging import disable_progress_bar

from space.zoo.vision.data import pictures
from space.zoo.vision.family import MODELS, RESULTS, WEIGHTS, accuracy, load_model
from space.zoo.vision.run import Run
from space.zoo.vision.schedule import BASE, FINE_TUNES
from space.zoo.vision.tasks import TASKS

SEED = 0


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=WEIGHTS.parent,
    show_default=True,
    help="Folder for weights/ and results.json; models that are there already are kept.",
)
def main(out: Path) -> None:
    """Train the base and one fine-tune per task, and measure them on the test pictures."""
    torch.set_num_threads(1)
    disable_progress_bar()
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        for name in MODELS:
            train_model(name, out / WEIGHTS.name, bar)
    results = measure(out / WEIGHTS.name)
    (out / RESULTS.name).write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def train_model(name: str, weights: Path, bar: Progress) -> None:
    """Train one model unless its folder is there, and save it as transformers does."""
    if (weights / name / "model.safetensors").exists():
        return
    training = BASE if name == "base" else FINE_TUNES[name]
    start = None if name == "base" else load_model(weights / "base")
    run = Run(training, start, seed=SEED)
    task = bar.add_task(name, total=training.steps)
    run.finish(
        weights / f"{name}.pt",
        progress=lambda done, loss: bar.update(task, completed=done, description=f"{name} (loss {loss:.2f})"),
    )
    unfinished = weights / f"{name}.unfinished"
    run.model.save_pretrained(unfinished)
    unfinished.rename(weights / name)


def measure(weights: Path) -> dict[str, Any]:
    """Return the accuracy of every model on every task, as fractions in [0, 1] of the test pictures."""
    tests = {task: pictures(task, "test") for task in TASKS}
    scores: dict[str, dict[str, float]] = {}
    for name in MODELS:
        model = load_model(weights / name)
        scores[name] = {task: round(accuracy(model, task, tests[task]), 6) for task in TASKS}
    return {
        "accuracy": scores,
        "test_pictures": {task: len(test) for task, test in tests.items()},
        "seed": SEED,
        "tools": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def table(results: dict[str, Any]) -> str:
    """Return the accuracies in percent as a Markdown table, a row per model and a column per task."""
    lines = ["| model | " + " | ".join(TASKS) + " |", "|---" * (len(TASKS) + 1) + "|"]
    for name, scores in results["accuracy"].items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * scores[task]:.1f}" for task in TASKS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
