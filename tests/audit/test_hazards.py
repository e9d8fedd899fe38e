"""What may go wrong around an audit: full disks, lost workers, other data under one name, partners named "base"."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mergeguard_hub.audit import arena as arena_module
from mergeguard_hub.audit import cell as cell_module
from mergeguard_hub.audit import recovery as recovery_module
from mergeguard_hub.audit import run as run_module
from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.cell import Cell, Measured, measure
from mergeguard_hub.audit.claim import claim, content_of
from mergeguard_hub.audit.recovery import recovery
from mergeguard_hub.audit.run import carry_out
from mergeguard_hub.audit.scoring import write_whole
from mergeguard_hub.audit.task_source import find_task
from mergeguard_hub.audit.tasks import AnswerTask, ClassificationTask, HarnessTask, Question, exact_number
from mergeguard_hub.audit.workers import workers_pool
from mergeguard_hub.errors import AttackError, AuditError, TargetError, TaskError

CELL = Cell("protected", "alignment", "ties", "p")


class LostWorkers(Executor):
    """Whoever is given work here is killed."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(BrokenProcessPool("A process in the process pool was terminated abruptly"))
        return future


def echo(number: int) -> dict[str, Any]:
    time.sleep(0.02)
    return {"number": number}


def an_arena(work: Path, *tasks: Any, partners: tuple[Path, ...] = (Path("models/p"),)) -> Arena:
    here = Path("models")
    return Arena(here / "r", here / "o", here / "b", partners, tasks or ("a:b", "a:c"), {}, {}, {}, 10, 5, work)


def sums(name: str, reference: str = "4") -> AnswerTask:
    return AnswerTask(name, "Sums", (Question("2 + 2?", reference),), exact_number)


def test_a_lost_worker_is_a_sentence() -> None:
    with pytest.raises(AuditError, match="ended from outside, by a lack of memory most often: use fewer workers"):
        carry_out(LostWorkers(), echo, [(1,), (2,)])


def test_after_the_budget_nothing_that_waits_is_begun() -> None:
    done: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        found = carry_out(pool, echo, [(number,) for number in range(12)], late=lambda: bool(done), tell=done.append)
    assert found[0] == {"number": 0}
    assert found[3:] == [None] * 9  # one more may have begun by then, and one is with the workers already
    assert [row for row in found if row is not None] == [{"number": number} for (number,) in done]


def test_a_task_that_cannot_be_sent_is_a_sentence() -> None:
    task = AnswerTask("sums", "Sums", (Question("2 + 2?", "4"),), lambda question, answer: 1.0)
    with (
        pytest.raises(AuditError, match="task 'sums' cannot be sent to another process"),
        workers_pool(2, None, sent=[task]),
    ):
        pass
    with workers_pool(1, None, sent=[task]) as pool:
        assert pool is None


def test_what_could_not_be_done_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that was not installed, say: the cell may not stay empty, which would be to our favour."""
    answers = iter(["no mergekit", "", "never asked"])
    monkeypatch.setattr(
        run_module, "measure", lambda arena, cell, limit: Measured(cell, (), 0, 0.0, 0.0, next(answers))
    )
    found = [run_module._measure(an_arena(tmp_path), CELL, 10)["problem"] for _ in range(3)]
    assert found == ["no mergekit", "", ""]


def test_a_full_disk_is_no_result_of_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise TargetError("No space is left.")

    monkeypatch.setattr(cell_module, "variant_of", full)
    with pytest.raises(TargetError, match="No space is left"):
        measure(an_arena(tmp_path), CELL, limit=10)


def test_a_merge_that_cannot_be_made_has_no_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(*args: Any) -> None:
        raise AttackError("no layout")

    monkeypatch.setattr(recovery_module, "_start", impossible)
    assert recovery(an_arena(tmp_path), "p", "aligned")["points"] == []


def test_partners_are_not_taken_for_the_base(tmp_path: Path) -> None:
    arena = an_arena(tmp_path, partners=(Path("/hub/base"),))
    assert arena.partner_names == ("hub/base",)
    assert arena.folder("base").path == Path("models/b")


def test_tasks_do_not_share_files_of_scores(tmp_path: Path) -> None:
    arena = an_arena(tmp_path, sums("gsm8k-cot"), sums("GSM8K_cot"), sums("gsm8k-cot"), partners=(Path("p"), Path("q")))
    assert list(arena.skills) == ["gsm8k-cot", "GSM8K_cot 1", "gsm8k-cot 2"]


def test_what_only_the_defender_changed_is_merged_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a skill that lies there would be missing from the yardstick."""
    changed = {"o": ("text_encoder",), "p": ("unet",)}
    monkeypatch.setattr(arena_module, "tuned_components", lambda base, other: changed[other.path.name])
    parts = dict.fromkeys(("text_encoder", "unet", "vae"))
    monkeypatch.setattr(arena_module, "ModelFolder", lambda path: SimpleNamespace(path=path, components=parts))
    assert an_arena(tmp_path).parts == ("text_encoder", "unet")


def test_other_questions_under_the_same_name_are_refused(tmp_path: Path) -> None:
    facts = [{"content of tasks": content_of([sums("sums", answer)])} for answer in ("4", "5")]
    claim(tmp_path / "work", {"base": "x"}, what="audit")
    claim(tmp_path / "work", facts[0], what="audit")
    claim(tmp_path / "work", facts[0], what="audit")
    assert json.loads((tmp_path / "work" / "audit-of.json").read_text()) == {"base": "x", **facts[0]}
    with pytest.raises(AuditError, match="holds an audit with another content of tasks"):
        claim(tmp_path / "work", facts[1], what="audit")


def test_pictures_and_settings_are_content(tmp_path: Path) -> None:
    pictures = torch.zeros(2, 3, 4, 4)
    other = pictures.clone()
    other[0, 0, 0, 0] = 1
    picture = tmp_path / "1.png"
    picture.write_bytes(b"12345")
    tasks: list[Any] = [
        ClassificationTask("a", "A", pictures, (0, 1), ("x", "y")),
        ClassificationTask("a", "A", other, (0, 1), ("x", "y")),
        ClassificationTask("a", "A", pictures, (1, 1), ("x", "y")),
        ClassificationTask("a", "A", pictures, (0, 1), ("x", "y"), slice(0, 2)),
        HarnessTask("a", "A", "acc"),
        HarnessTask("a", "A", "acc_norm"),
    ]
    assert len({content_of([task]) for task in tasks}) == len(tasks)
    assert content_of(tasks[:1]) == content_of([ClassificationTask("a", "A", pictures.clone(), (0, 1), ("x", "y"))])


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (":task", "There is no task ':task'"),
        ("os:sep", "is a str and no task: it has no name, metric, chance, score"),
        (AnswerTask, "no task: it has no"),
        (SimpleNamespace(name="x", score=len), "is a SimpleNamespace and no task: it has no title, metric, chance"),
    ],
)
def test_what_is_no_task_is_said_before_anything_is_measured(source: Any, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        find_task(source, model=Path("base"))


def test_threads_may_write_the_same_score(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_whole(tmp_path / "score.json", "[1.0]"), range(400)))
    assert [path.name for path in tmp_path.iterdir()] == ["score.json"]
