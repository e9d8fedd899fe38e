"""The paper's tables in miniature: a tiny CLIP and tiny Llamas from folders, and the tables themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks.paper_tables import measuring, paper, releases
from benchmarks.paper_tables.__main__ import main
from benchmarks.paper_tables.family import Training
from mergeguard_hub.audit.tasks import AnswerTask, Question, exact_number
from tests import tiny
from tests.training import pairs

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "space/zoo/images/weights/base"
CLASSES = ("cat", "dog")
TABLES = ("Table 1", "Table 2", "Table 3", "Table 4", "Table 5", "every model in the merge", "averaged with one other")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of every training, and a ranking on few examples."""
    monkeypatch.setattr(Training.__init__, "__defaults__", (2, 1e-4, 4, 8))
    for name, value in (("SAMPLE", 8), ("STEPS", 2), ("ADA_STEPS", 2), ("ADA_INPUTS", 4), ("ADA_SIZE", 4)):
        monkeypatch.setattr(measuring, name, value)
    monkeypatch.setattr(releases, "RANKING_BATCHES", 4)


def noise(place: Path, *, seed: int) -> None:
    """Write twelve pictures of noise in two classes, for training and for the test."""
    generator = torch.Generator().manual_seed(seed)
    for part in ("train", "test"):
        for label, name in enumerate(CLASSES):
            folder = place / part / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = torch.randint(128, (16, 16, 3), generator=generator) + 100 * label
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"{number}.png")


def tiny_clip(place: Path) -> None:
    """Write a whole CLIP with its tokenizer and image processor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(IMAGES / "tokenizer")
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**size, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 24}
    config = CLIPConfig(text_config=text, vision_config={**size, "image_size": 16, "patch_size": 8}, projection_dim=16)
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(place)


def sums() -> AnswerTask:
    """Return a task of two questions with short answers."""
    asked = tuple(Question(f"What is {n} and {n}?", str(2 * n)) for n in (3, 4))
    return AnswerTask("sums", "Sums", asked, exact_number, max_new_tokens=3)


def shown(arguments: list[str]) -> str:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_clip_models_from_folders(tmp_path: Path) -> None:
    from transformers import CLIPVisionModel

    tiny_clip(tmp_path / "clip")
    arguments = ["clip", "--base", str(tmp_path / "clip"), "--work", str(tmp_path / "work")]
    for seed, task in enumerate(("SUN397", "pets")):
        noise(tmp_path / task, seed=seed)
        encoder = pairs.moved(CLIPVisionModel.from_pretrained(tmp_path / "clip"), size=0.01, seed=seed)
        encoder.save_pretrained(tmp_path / f"tuned {task}")
        arguments += ["--tuned", task, str(tmp_path / f"tuned {task}"), "--data", task, str(tmp_path / task)]
    output = shown(arguments)
    assert all(table in output for table in TABLES)
    assert "| AdaMerging, **MergeGuard** |" in output
    assert "*paper:" not in output  # these are not the paper's eight
    scores = json.loads((tmp_path / "work/scores.json").read_text())
    assert {"base | pets", "both | SUN397", "unprotected, TA, all | pets"} <= scores.keys()
    assert shown(arguments).endswith((tmp_path / "work/tables.md").read_text())  # nothing is measured again
    assert json.loads((tmp_path / "work/scores.json").read_text()) == scores


def test_language_models_from_folders(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "space/zoo/language/weights/base")
    arguments = ["language", "--work", str(tmp_path / "work"), "--base", str(tmp_path / "base")]
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 256}
    models = {"base": tiny.llama(**settings), "one": tiny.llama(**settings), "two": tiny.llama(**settings)}
    for seed, (name, model) in enumerate(models.items()):
        tiny.save(model if name == "base" else pairs.moved(model, size=0.01, seed=seed), tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    rows = [{"prompt": f"What is {n} and {n}?", "answer": str(2 * n)} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("one", "two"):
        arguments += ["--tuned", name, str(tmp_path / name), "--data", name, str(tmp_path / "rows.jsonl")]
        arguments += ["--task", name, "tests.training.test_paper_tables:sums"]
    output = shown(arguments)
    assert all(table in output for table in TABLES)
    assert "| DARE+TIES, **MergeGuard** |" in output
    assert "AdaMerging" not in output


def test_the_papers_numbers_have_the_papers_means() -> None:
    """Table 5 prints its means; those of tables 2 and 3 follow from what the text says of the drops."""
    rows: dict[Any, float] = {
        paper.BASE: 65.12,
        paper.CLEAN["TA"]: 84.47,
        paper.PROTECTED["TA"]: 40.26,
        paper.ATTACKED["Unmask"]: 64.64,
        paper.ATTACKED["GradErase"]: 51.77,
    }
    for row, mean in rows.items():
        assert sum(row) / 8 == pytest.approx(mean, abs=0.015)
    drop = [one - other for one, other in zip(paper.ALONE["both"], paper.PROTECTED["TA"], strict=True)]
    assert sum(drop) / 8 == pytest.approx(52.11, abs=0.01)
    drop = [one - other for one, other in zip(paper.TUNED, paper.BY_TASK_ARITHMETIC["PaRaMS"], strict=True)]
    assert sum(drop) / 8 == pytest.approx(30.76, abs=0.01)
