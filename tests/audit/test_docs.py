"""docs/tasks.md is true: its Python runs in order, on models in the working folder."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import types
from pathlib import Path

import pytest
from PIL import Image
from transformers import ViTImageProcessor

from tests import tiny
from tests.audit.pipelines import stable_diffusion
from tests.audit.talkers import END, TEMPLATE, talker

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
BLOCKS = [
    (TEXT.count("\n", 0, found.start(1)), found[1])
    for found in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
]

SUMS = """
task: my_sums
dataset_path: json
dataset_kwargs: {data_files: {test: sums.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "Hello {{answer}}"
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 8}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


@pytest.fixture
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language model that greets and says 4, a classifier with its pictures, a pipeline and two sums."""
    monkeypatch.chdir(tmp_path)
    greeter = talker({"bot": "Hello", "Hello": "4", "4": END}, template=TEMPLATE)
    greeter.model.save_pretrained("my-finetune")
    greeter.tokenizer.save_pretrained("my-finetune")
    sums = [{"question": "2 + 2?", "answer": "4"}, {"question": "2 + 3?", "answer": "5"}]
    Path("sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in sums))
    Path("my-tasks").mkdir()
    Path("my-tasks", "my_sums.yaml").write_text(SUMS)
    tiny.vit(num_channels=3, num_labels=2).save_pretrained("my-classifier")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained("my-classifier")
    for name, shade in (("cat", 0), ("dog", 255)):
        Path("pictures", name).mkdir(parents=True)
        Image.new("RGB", (20, 20), (shade,) * 3).save(Path("pictures", name, "1.png"))
    stable_diffusion().save_pretrained("my-pipeline")


@pytest.mark.usefixtures("_work")
def test_the_python_of_the_document_runs_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", module)
    harness = importlib.util.find_spec("lm_eval") is not None
    for line, block in BLOCKS:
        if harness or "run_harness" not in block:
            exec(compile("\n" * line + block, str(DOCUMENT), "exec"), module.__dict__)
    printed = capsys.readouterr().out.splitlines()
    expected = ["0.75 ± 0.22 on 4 items", "['Hello 4']", "0.5", "1.0", "1.0 0.0", *(["0.5"] if harness else [])]
    assert printed[: len(expected)] == expected
    assert printed[len(expected)] in {f"{right} 0.5" for right in (0.0, 0.5, 1.0)}  # a classifier of random weights
    assert printed[len(expected) + 1 :] == ["2", "1"]
