"""The zoo's families: eight vision tasks in the roles of the paper's eight datasets, and three language skills."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.paper_tables.family import LANGUAGE_METHODS, Batch, Family, Run, Training
from benchmarks.paper_tables.language import AnswerData, load_causal
from benchmarks.paper_tables.paper import DATASETS
from mergeguard_hub.audit.tasks import LanguageModel
from space.zoo.language.kinds import SKILLS
from space.zoo.language.tasks import tasks as language_tasks
from space.zoo.vision.data import pictures
from space.zoo.vision.family import WEIGHTS, as_input, classification, load_model
from space.zoo.vision.tasks import TASKS

LANGUAGE = Path(__file__).resolve().parents[2] / "space" / "zoo" / "language" / "weights"
LIMIT = 100  # questions that a merge of language models answers; single models answer all


class Pictures:
    """The training pictures of the zoo's vision tasks."""

    def batches(self, task: str, count: int, size: int, *, seed: int = 0) -> list[Batch]:
        """Return pictures and labels in a drawn order."""
        made = pictures(task, "train", count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        return [(as_input(made.pixels[rows]), made.labels[rows]) for rows in order.split(size)]

    def loss(self, run: Run, task: str, batch: Batch) -> Tensor:
        """Return the cross-entropy among the task's classes."""
        return cross_entropy(self.logits(run, task, batch), batch[1])

    def logits(self, run: Run, task: str, batch: Batch) -> Tensor:
        """Return the logits of the task's classes. -> [pictures, classes]."""
        found: Tensor = run(pixel_values=batch[0]).logits
        return found[:, TASKS[task].logits]


def vision() -> Family:
    """Return the zoo's vision family."""
    data = Pictures()
    return Family(
        title="ViT of 0.3 million weights",
        base=WEIGHTS / "base",
        tuned={task: WEIGHTS / task for task in TASKS},
        tasks={task: classification(task) for task in TASKS},
        data=data,
        load=load_model,
        wrap=lambda model: model,
        roles=dict(zip(TASKS, DATASETS, strict=True)),
        logits=data.logits,
    )


def language(*, limit: int = LIMIT) -> Family:
    """Return the zoo's Llamas: math, style and code in the roles of GSM8K, AlpacaEval and HumanEval."""
    base = LanguageModel.load(LANGUAGE / "base")
    tasks: dict[str, Any] = language_tasks(base)
    return Family(
        title="Llama of 2 million weights",
        base=LANGUAGE / "base",
        tuned={skill: LANGUAGE / skill for skill in SKILLS},
        tasks={skill: tasks[skill] for skill in SKILLS},
        data=AnswerData({skill: _examples(skill) for skill in SKILLS}, base.tokenizer),
        load=load_causal,
        wrap=lambda model: LanguageModel(model, base.tokenizer),
        training=Training(steps=200, learning_rate=1e-4, size=16, examples=1600),
        methods=LANGUAGE_METHODS,
        ranked=256,
        limit=limit,
    )


def _examples(skill: str) -> Any:
    """Return a function that draws training questions with their answers, the same for the same seed."""

    def draw(count: int, seed: int) -> list[tuple[str, str]]:
        source, found = random.Random(seed), list[tuple[str, str]]()
        while len(found) < count:
            example = SKILLS[skill](source)
            if example.split == "train":
                found.append((example.prompt, example.answer))
        return found

    return draw
