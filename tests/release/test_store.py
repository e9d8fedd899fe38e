"""Writing a moved component: the bytes are those of the plan, wherever the work is done, and so are the digests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mergeguard_hub.architecture.action import Mix, Monomial, Plan
from mergeguard_hub.architecture.space import CLAIMS, Port, Space, rows
from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, TensorEntry, combine_digests
from mergeguard_hub.errors import CheckpointError
from mergeguard_hub.release.store import open_weights, store
from tests.checkpoint.folders import snapshot, write_sharded
from tests.checkpoint.writer import PROCESSES

EXECUTORS: dict[str, Callable[[], Executor] | None] = {
    "none": None,
    "threads": partial(ThreadPoolExecutor, 3),
    "processes": partial(ProcessPoolExecutor, 2, mp_context=PROCESSES),
}


@pytest.fixture
def source(tmp_path: Path) -> Checkpoint:
    torch.manual_seed(5)
    tensors = {
        "moved": torch.randn(40, 64).bfloat16(),
        "mixed": torch.randn(32, 24, dtype=torch.float16),
        "same": torch.randn(7, 9),
        "numbers": torch.arange(11),
        "first": torch.randn(6, 4, dtype=torch.float64),
        "second": torch.randn(6, 4, dtype=torch.float64),
        "empty": torch.empty(0, 4),
    }
    return Checkpoint.open(write_sharded(tmp_path / "source", tensors))


def _plan(checkpoint: Checkpoint) -> Plan:
    draw = np.random.default_rng(1)
    plan = Plan({name: entry.shape for name, entry in checkpoint.entries.items()})

    def monomial(size: int) -> Monomial:
        return Monomial(draw.permutation(size), draw.choice([-1.0, 1.0], size), 2.0 ** draw.integers(-2, 3, size))

    def add(action: Monomial | Mix, *ports: Port, families: tuple[tuple[str, ...], ...] = (), size: int = 0) -> None:
        size = size or len(ports[0].positions)
        plan.add(Space("x/units", "experts", size, ports, frozenset(CLAIMS), families=families), action)

    add(monomial(40), Port("moved", 0, rows(0, 40), scale=1))
    add(monomial(64), Port("moved", 1, rows(0, 64), scale=-1))
    add(Mix(np.linalg.qr(draw.normal(size=(16, 16)))[0]), Port("mixed", 0, rows(16, 16), scale=1))
    add(monomial(6), Port("first", 0, rows(0, 6), scale=1))
    add(Monomial(np.array([1, 0]), np.ones(2), np.ones(2)), families=(("first", "second"),), size=2)
    return plan


def _store(source: Checkpoint, plan: Plan, target: Path, *, executor: Executor | None = None) -> dict[str, str]:
    done: list[TensorEntry] = []
    with StagedFolder(target) as staged:
        found = store(source, plan, staged, subfolder="part", executor=executor, done=done.append, digest=True)
        staged.copy_file(source.root / "config.json", "part/config.json")
    assert sorted(entry.name for entry in done) == list(source.entries)
    return found


def test_what_is_stored_is_what_the_plan_says(source: Checkpoint, tmp_path: Path) -> None:
    plan, target = _plan(source), tmp_path / "target"
    _store(source, plan, target)
    release = Checkpoint.open(target / "part")
    assert plan.source == {"first": "second", "second": "first"}
    for name in source.entries:
        expected = plan.apply(name, source.tensor(plan.source.get(name, name)))
        assert torch.equal(release.tensor(name), expected), name
    assert {name for name in release.entries if release.raw(name) != source.raw(name)} == plan.moved


def test_the_inverse_plan_stores_the_original_files_again(source: Checkpoint, tmp_path: Path) -> None:
    plan = _plan(source)
    del plan.steps["mixed"]
    _store(source, plan, tmp_path / "target")
    release = Checkpoint.open(tmp_path / "target" / "part")
    _store(release, plan.inverse(), tmp_path / "back")
    restored, original = snapshot(tmp_path / "back" / "part"), snapshot(source.root)
    assert restored == {name: original[name] for name in restored}
    assert len(restored) == 3 + 1 + 1, "shards, index, config"


@pytest.mark.parametrize("kind", EXECUTORS)
def test_threads_and_processes_write_the_same_bytes_and_digests(kind: str, source: Checkpoint, tmp_path: Path) -> None:
    plan, make = _plan(source), EXECUTORS[kind]
    alone = _store(source, plan, tmp_path / "alone")
    if make is None:
        again = _store(source, plan, tmp_path / "again")
    else:
        with make() as executor:
            again = _store(source, plan, tmp_path / "again", executor=executor)
    assert snapshot(tmp_path / "again") == snapshot(tmp_path / "alone")
    assert again == alone


def test_digests_taken_on_the_way_are_those_of_the_files(source: Checkpoint, tmp_path: Path) -> None:
    found = _store(source, _plan(source), tmp_path / "target")
    assert set(found) == set(source.entries)
    assert combine_digests(found) == Checkpoint.open(tmp_path / "target" / "part").digest()
    assert combine_digests(found) == open_weights(source, tmp_path / "target" / "part").digest()
    assert combine_digests(found) != source.digest()


def test_nothing_is_hashed_unless_asked(source: Checkpoint, tmp_path: Path) -> None:
    with StagedFolder(tmp_path / "target") as staged:
        found = store(source, Plan({}), staged, subfolder="", executor=None, done=lambda entry: None)
    assert found == {}
    assert Checkpoint.open(tmp_path / "target").digest() == source.digest()


def test_a_tensor_that_grew_is_refused_and_leaves_nothing(source: Checkpoint, tmp_path: Path) -> None:
    plan = Plan({"same": (7, 9)}, source={"same": "moved"})
    with pytest.raises(CheckpointError, match=r"Tensor 'same' has 252 bytes, bytes 0 to 5120 were to be written"):
        _store(source, plan, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
