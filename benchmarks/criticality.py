"""How much cheaper the critical layers can be found: `python -m benchmarks.criticality`.

On the zoo's vision and language models, in one run: the paper's brute force (every layer masked, everything computed),
the same with the blocks in front of the masked layer computed once, the first-order estimate, the refined ranking, and
the norm of the task vector. Writes benchmarks/results/criticality.md.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mergeguard_hub.training import (
    Criticality,
    Race,
    layers_of,
    rank_by_gradient,
    rank_exactly,
    rank_without_data,
    refine,
    tuned_layers,
)
from mergeguard_hub.training.disk_names import on_disk
from space.zoo.language.batches import encode
from space.zoo.language.kinds import SKILLS
from space.zoo.language.recipe import load_pair
from space.zoo.vision import family as vision
from space.zoo.vision.data import pictures
from space.zoo.vision.tasks import TASKS

RESULTS = Path(__file__).parent / "results" / "criticality.md"
LANGUAGE = Path(__file__).parent.parent / "space/zoo/language/weights"
SHARE = 0.1
_IGNORED = -100
Batch = tuple[Tensor, Tensor]

SHOWN = ("numbers", "scenes", "vehicles", "signs")


@dataclass(frozen=True)
class Subject:
    """A fine-tuned model, its base, and examples of its task that no part of it was measured on.

    Attributes:
        name: for the table.
        folders: of the fine-tuned model and of its base.
        models: the same, loaded.
        batches: inputs and targets.
        score: minus the mean loss of a batch.
    """

    name: str
    folders: tuple[Path, Path]
    models: tuple[nn.Module, nn.Module]
    batches: list[Batch]
    score: Callable[[nn.Module, Batch], Tensor]


def vision_subject(task: str, examples: int, size: int) -> Subject:
    """Return one of the zoo's image classifiers with training pictures of its task."""
    made, logits = pictures(task, "train", examples), TASKS[task].logits
    batches = [
        (vision.as_input(made.pixels[i : i + size]), made.labels[i : i + size]) for i in range(0, examples, size)
    ]

    def score(model: nn.Module, batch: Batch) -> Tensor:
        return -cross_entropy(model(pixel_values=batch[0]).logits[:, logits], batch[1])

    folders = (vision.WEIGHTS / task, vision.WEIGHTS / "base")
    return Subject(f"ViT, {task}", folders, (vision.load_model(task), vision.load_model("base")), batches, score)


def language_subject(skill: str, examples: int, size: int) -> Subject:
    """Return one of the zoo's Llamas with examples of its skill; examples of like length go together."""
    model, tokenizer = load_pair(LANGUAGE / skill)
    source = random.Random(5)
    pairs = [encode(tokenizer, SKILLS[skill](source)) for _ in range(examples)]
    batches = [_padded(pairs[i : i + size], int(tokenizer.pad_token_id)) for i in range(0, examples, size)]

    def score(model: nn.Module, batch: Batch) -> Tensor:
        logits = model(input_ids=batch[0], use_cache=False).logits
        return -cross_entropy(logits.flatten(0, 1), batch[1].flatten(), ignore_index=_IGNORED)

    folders = (LANGUAGE / skill, LANGUAGE / "base")
    return Subject(f"Llama, {skill}", folders, (model, load_pair(LANGUAGE / "base")[0]), batches, score)


def _padded(pairs: Sequence[tuple[list[int], int]], padding: int) -> Batch:
    longest = max(len(tokens) for tokens, _ in pairs)
    inputs, targets = torch.full((len(pairs), longest), padding), torch.full((len(pairs), longest), _IGNORED)
    for row, (tokens, question) in enumerate(pairs):
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        targets[row, question : len(tokens)] = torch.tensor(tokens[question:])
    return inputs[:, :-1], targets[:, 1:]


def measure(subject: Subject) -> list[str]:
    """Rank with every method and return the rows of the table."""
    (model, base), data, score = subject.models, subject.batches, subject.score
    layers = tuned_layers(model, base)
    runs: list[tuple[str, Criticality, float]] = []

    def run(title: str, rank: Callable[[], Criticality]) -> Criticality:
        start = time.process_time()
        found = rank()
        runs.append((title, found, time.process_time() - start))
        return found

    halves: list[Criticality] = []

    def rank_both_halves() -> Criticality:
        halves.extend(rank_exactly(model, base, part, layers=layers, score=score) for part in (data[::2], data[1::2]))
        half, other = halves
        drops = {layer: (half.drops[layer] + other.drops[layer]) / 2 for layer in layers}
        return Criticality(drops, half.layers, "exact", (half.forwards + other.forwards) / 2)

    exact = run("exact, blocks in front reused", rank_both_halves)
    run("gradient at the model", lambda: rank_by_gradient(model, base, data, layers=layers, score=score, at=1.0))
    run("gradient half-way", lambda: rank_by_gradient(model, base, data, layers=layers, score=score))
    for budget in (0.05, 0.1):
        title, plan = f"refined, {budget:.0%} of the cost", Race(budget=budget)
        run(title, lambda plan=plan: refine(model, base, data, layers=layers, score=score, race=plan))  # type: ignore[misc]
    named = on_disk(exact, model, subject.folders[0])
    back = dict(zip(named.drops, exact.drops, strict=True))
    free = rank_without_data(*subject.folders, exclude=_others(subject, named))
    drops = {back[name]: drop for name, drop in free.drops.items()}
    runs.append(("without data", Criticality(drops, layers_of(drops), "data-free", 0.0), 0.0))
    brute = len(layers) + 1.0
    head = f"| {subject.name} ({len(layers)} layers, {len(exact.critical(SHARE))} critical)"
    rows = [f"{head} | brute force, as the paper | {brute:.0f} | 1 | | 100 % | 100 % |"]
    rows += [_row(title, found, seconds, exact, brute) for title, found, seconds in runs]
    pair = f"{100 * halves[0].overlap(halves[1], SHARE):.0f} %"
    rows.append(f"| | *exact on one half of the examples against the other half* | | | | {pair} | |")
    return rows


def _others(subject: Subject, named: Criticality) -> list[str]:
    """Return the tensors of the folder that are not ranked."""
    from mergeguard_hub.checkpoint import Checkpoint

    return [name for name in Checkpoint.open(subject.folders[0]).entries if name not in named.drops]


def _row(title: str, found: Criticality, seconds: float, exact: Criticality, brute: float) -> str:
    cheaper = f"{brute / found.forwards:.1f}" if found.forwards else "no forward pass"
    best = sum(exact.drops[layer] for layer in exact.critical(SHARE))
    held = sum(exact.drops[layer] for layer in found.critical(SHARE)) / best
    overlap = f"{100 * exact.overlap(found, SHARE):.0f} %"
    return f"| | {title} | {found.forwards:.1f} | {cheaper} | {seconds:.1f} | {overlap} | {100 * held:.0f} % |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2048, help="pictures per vision task")
    parser.add_argument("--texts", type=int, default=384, help="examples per language skill")
    parser.add_argument(
        "--tasks", nargs="*", default=["numbers", "scenes", "vehicles", "signs"], help="vision tasks of the zoo"
    )
    parser.add_argument("--skills", nargs="*", default=list(SKILLS), help="language skills of the zoo")
    parser.add_argument("--out", type=Path, default=RESULTS)
    settings = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [
        "| model | ranking | forward passes | times cheaper | seconds | exact critical layers found | their drop |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for subject in (
        *(vision_subject(task, settings.examples, 64) for task in settings.tasks),
        *(language_subject(skill, settings.texts, 8) for skill in settings.skills),
    ):
        found = measure(subject)
        print("\n".join(found), flush=True)
        rows += found
    settings.out.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
