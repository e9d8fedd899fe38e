"""Tasks of lm-evaluation-harness, run by the harness itself: the published benchmarks, or task files on local data."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.audit.tasks.evaluating import evaluating
from mergeguard_hub.audit.tasks.language_model import BATCH_SIZE, LanguageModel
from mergeguard_hub.audit.tasks.task import Score
from mergeguard_hub.errors import TaskError

_FEWSHOT_SEED = 1234  # the harness's own


@dataclass(frozen=True)
class HarnessTask:
    """One measure of one task of the harness, as a task like all others.

    Attributes:
        name: the harness's name for it: "gsm8k", or that of a file in `task_folder`.
        title: name for readers.
        metric: one of its measures, with its filter if it has several: "acc_norm", "exact_match,strict-match".
        chance: the score that guessing is expected to get.
        task_folder: where your own task files are; None: only the harness's own tasks.
        batch_size: requests at a time.
        chat: see `run_harness`.
        run_code: see `run_harness`.
    """

    name: str
    title: str
    metric: str
    chance: float = 0.0
    task_folder: Path | None = None
    batch_size: int = BATCH_SIZE
    chat: bool | None = None
    run_code: bool = False

    def score(self, subject: LanguageModel, *, limit: int | None = None) -> Score:
        """Put the task to a model; see `Task.score`.

        Raises:
            TaskError: as `run_harness`; or the task is a group of tasks, or has no such measure.
        """
        found = run_harness(
            subject,
            [self.name],
            task_folder=self.task_folder,
            limit=limit,
            batch_size=self.batch_size,
            chat=self.chat,
            run_code=self.run_code,
        )
        measures = found.get(self.name, {})
        chosen = [score for name, score in measures.items() if self.metric in (name, name.partition(",")[0])]
        if len(chosen) != 1:
            have = ", ".join(repr(name) for name in measures) or f"the tasks {', '.join(found)}"
            raise TaskError(f"The metric {self.metric!r} of {self.name!r} names {len(chosen)} measures; it has {have}.")
        return chosen[0]


def run_harness(
    model: LanguageModel | str | Path,
    tasks: Sequence[str],
    *,
    task_folder: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    chat: bool | None = None,
    run_code: bool = False,
) -> dict[str, dict[str, Score]]:
    """Run tasks of lm-evaluation-harness on a model.

    Gao et al. 2021, "A framework for few-shot language model evaluation". Requests, few-shot examples (drawn with the
    harness's own seed), filters and metrics are the harness's; only its resampled standard errors are not computed,
    because a `Score` has its own. Its own tasks fetch their data from the Hub once; task files on local data need no
    network. Programs in answers are run by the harness's own means, not in our sandbox.

    Args:
        model: a loaded model, left as it is; or a folder or Hub id, loaded in float32.
        tasks: names of tasks, groups or tags: "gsm8k", "humaneval", those of your files.
        task_folder: your own task files (YAML), which win over the harness's of the same name. Paths of data in them
            are read relative to the working folder, as the harness does; a Python function in the file's
            `custom_dataset` can find data beside itself.
        limit: only the first so many items of each task.
        batch_size: requests at a time.
        chat: put each request as the user's turn of the chat template; None: if the tokenizer has one (our choice; the
            harness's own default is not to).
        run_code: allow tasks that execute what the model writes, such as "humaneval"; their metric also asks for
            HF_ALLOW_CODE_EVAL=1 in the environment.

    Returns:
        For each task (those of a group one by one) the score of each of its measures by "metric,filter", for instance
        "exact_match,strict-match". Measures that are not a fraction for each item, such as perplexity, are left out.

    Raises:
        TaskError: lm_eval is not installed, a task is unknown or would run code without `run_code`, a setting is below
            1, or a task has no measure that is a fraction for each item.
    """
    for setting, value in (("limit", limit), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise TaskError(f"{setting} is {value}, and must be at least 1.")
    try:
        from lm_eval import evaluate
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise TaskError(
            f"Tasks of lm-evaluation-harness need lm_eval, which cannot be imported ({error}): "
            "pip install 'mergeguard-hub[audit]'"
        ) from None
    loaded = _load_tasks(tasks, task_folder, run_code=run_code)
    subject = model if isinstance(model, LanguageModel) else LanguageModel.load(model)
    with evaluating(subject.model):
        found = evaluate(
            lm=HFLM(
                pretrained=subject.model,
                tokenizer=copy.deepcopy(subject.tokenizer),  # it is given a padding token
                batch_size=batch_size,
            ),
            task_dict=loaded,
            limit=limit,
            bootstrap_iters=0,
            apply_chat_template=bool(subject.tokenizer.chat_template) if chat is None else chat,
            confirm_run_unsafe_code=run_code,
        )
    return {name: _scores(name, samples) for name, samples in found["samples"].items()}


def _load_tasks(tasks: Sequence[str], task_folder: str | Path | None, *, run_code: bool) -> Any:
    """Return the harness's tasks, ready to be evaluated."""
    from lm_eval.tasks import TaskManager

    if task_folder is not None and not Path(task_folder).is_dir():
        raise TaskError(f"There is no folder {task_folder} to read task files from; give its path.")
    manager = TaskManager(include_path=task_folder, include_defaults=False)
    if not set(tasks) <= set(manager.all_tasks):
        manager = TaskManager(include_path=task_folder)  # reads thousands of files
    unknown = [name for name in tasks if name not in manager.all_tasks]
    if unknown or not tasks:
        raise TaskError(
            f"The harness knows no task {unknown or list(tasks)}: give names of its own tasks (`lm-eval ls tasks` "
            f"lists them) or of task files in task_folder, which is {task_folder}."
        )
    loaded = manager.load(list(tasks))
    for name, task in loaded["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False) and not run_code:
            raise TaskError(
                f"The task {name!r} executes what the model writes, outside of our sandbox: set run_code=True on a "
                "machine that may be lost, or use an AnswerTask with `passes_tests`."
            )
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=_FEWSHOT_SEED)
    return loaded


def _scores(name: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, Score]:
    """Return the score of each measure that is a fraction for every item."""
    verdicts: dict[str, list[Any]] = {}
    for sample in sorted(samples, key=lambda sample: int(sample["doc_id"])):
        for metric in sample["metrics"]:
            verdicts.setdefault(f"{metric},{sample['filter']}", []).append(sample[metric])
    scores = {
        measure: Score(tuple(float(value) for value in values))
        for measure, values in verdicts.items()
        if all(_is_fraction(value) for value in values)
    }
    if not scores:
        raise TaskError(
            f"No measure of the task {name!r} is a fraction for each item, but {', '.join(verdicts) or 'none at all'}: "
            "there is nothing to compare with chance and with other models; choose another task."
        )
    return scores


def _is_fraction(value: Any) -> bool:
    """Return whether this is a number in [0, 1], numpy's included."""
    try:
        return 0 <= float(value) <= 1
    except (TypeError, ValueError):
        return False
