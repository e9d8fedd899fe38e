"""lm-evaluation-harness on local task files, with models whose answers are known beforehand; nothing is fetched."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mergeguard_hub.audit.tasks import HarnessTask, LanguageModel, Score, run_harness
from mergeguard_hub.errors import TaskError
from tests.audit.talkers import END, TEMPLATE, talker

FOLLOWS = {"four": "####", "####": "4", "4": END, "five": "6", "6": END}

SUMS = """
task: sums
custom_dataset: !function data.sums
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs:
  until: ["</s>"]
  do_sample: false
  max_gen_toks: 4
filter_list:
  - name: marked
    filter: [{function: regex, regex_pattern: "#### (\\\\d+)"}, {function: take_first}]
  - name: any
    filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: take_first}]
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
CHOICES = """
task: choices
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["4", "6"]
doc_to_target: 0
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
WORDS = (
    CHOICES.replace("task: choices", "task: words")
    .split("doc_to_choice")[0]
    .replace("multiple_choice", "loglikelihood_rolling")
    + """doc_to_target: "{{question}}"
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
"""
)
PROGRAMS = SUMS.replace("task: sums", "task: programs\nunsafe_code: true")
DATA = """
import json
from pathlib import Path
from datasets import Dataset, DatasetDict

def sums(**_):
    lines = Path(__file__).with_name("sums.jsonl").read_text().splitlines()
    return DatasetDict({"test": Dataset.from_list([json.loads(line) for line in lines])})
"""
ITEMS = [{"question": "four", "answer": "4"}, {"question": "five", "answer": "6"}, {"question": "four", "answer": "5"}]


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    pytest.importorskip("lm_eval")
    pytest.importorskip("datasets").disable_progress_bars()
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    (tmp_path / "data.py").write_text(DATA)
    for name, text in (("sums", SUMS), ("choices", CHOICES), ("words", WORDS), ("programs", PROGRAMS)):
        (tmp_path / f"{name}.yaml").write_text(text.replace("FILE", str(data)))
    return tmp_path


def test_a_local_task_with_known_answers(task_folder: Path) -> None:
    subject = talker(FOLLOWS, pads=False)
    subject.model.train()
    found = run_harness(subject, ["sums", "choices"], task_folder=task_folder)
    assert found == {
        "sums": {"exact_match,marked": Score((1.0, 0.0, 0.0)), "exact_match,any": Score((1.0, 1.0, 0.0))},
        # of the words 4 and 6, "four" makes neither likelier and the first is taken; "five" makes 6 likelier
        "choices": {"acc,none": Score((1.0, 0.0, 1.0))},
    }
    assert subject.tokenizer.pad_token is None
    assert subject.model.training


def test_a_saved_folder_in_the_chat_template(task_folder: Path, tmp_path: Path) -> None:
    subject = talker({"bot": "####", **FOLLOWS}, template=TEMPLATE)
    subject.model.save_pretrained(tmp_path / "model")
    subject.tokenizer.save_pretrained(tmp_path / "model")
    found = run_harness(tmp_path / "model", ["sums"], task_folder=task_folder, limit=2)
    assert found["sums"]["exact_match,marked"].verdicts == (1.0, 0.0)
    found = run_harness(tmp_path / "model", ["sums"], task_folder=task_folder, limit=2, chat=False)
    assert found["sums"]["exact_match,any"].verdicts == (1.0, 1.0)


def test_one_measure_is_a_task_like_others(task_folder: Path) -> None:
    subject = talker(FOLLOWS)
    task = HarnessTask("sums", "Sums", "exact_match,any", task_folder=task_folder)
    assert task.score(subject).verdicts == (1.0, 1.0, 0.0)
    assert task.score(subject, limit=1).items == 1
    choices = HarnessTask("choices", "Choices", "acc", chance=0.5, task_folder=task_folder)
    assert choices.score(subject).items == 3
    with pytest.raises(
        TaskError, match="'exact_match' of 'sums' names 2 measures; it has 'exact_match,marked', 'exact"
    ):
        HarnessTask("sums", "Sums", "exact_match", task_folder=task_folder).score(subject)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("programs", "'programs' executes what the model writes, outside of our sandbox: set run_code=True"),
        ("words", "No measure of the task 'words' is a fraction for each item, but word_perplexity,none"),
    ],
)
def test_what_cannot_be_scored_is_refused(task: str, message: str, task_folder: Path) -> None:
    with pytest.raises(TaskError, match=message):
        run_harness(talker(FOLLOWS), [task], task_folder=task_folder)


def test_unknown_tasks_are_named(task_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval.tasks

    real = lm_eval.tasks.TaskManager
    monkeypatch.setattr(  # reading the thousands of files of the harness's own tasks takes a while
        lm_eval.tasks, "TaskManager", lambda **settings: real(**{**settings, "include_defaults": False})
    )
    with pytest.raises(TaskError, match=r"knows no task \['differences'\]: give names of its own tasks"):
        run_harness(talker(FOLLOWS), ["sums", "differences"], task_folder=task_folder)
    with pytest.raises(TaskError, match=r"knows no task \[\]"):
        run_harness(talker(FOLLOWS), [], task_folder=task_folder)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = LanguageModel(None, None)  # type: ignore[arg-type]
    for settings in ({"limit": 0}, {"batch_size": 0}):
        with pytest.raises(TaskError, match="is 0, and must be at least 1"):
            run_harness(subject, ["sums"], **settings)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(TaskError, match=r"need lm_eval, which .* pip install 'mergeguard-hub\[audit\]'"):
        run_harness(subject, ["sums"])


def test_a_missing_folder_is_named(task_folder: Path) -> None:
    with pytest.raises(TaskError, match=r"There is no folder .*none to read task files from"):
        run_harness(talker(FOLLOWS), ["sums"], task_folder=task_folder / "none")
