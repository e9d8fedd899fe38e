"""Wherever the work is done, the release is the same to the byte."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import NonFiniteWeightsError
from mergeguard_hub.protection import Recipe
from mergeguard_hub.release import protect_folder, unlock_folder
from mergeguard_hub.release.draft import draft, learn_facts
from mergeguard_hub.release.drift import blocks_drift, blocks_nbytes
from mergeguard_hub.release.spread import spread, threads
from mergeguard_hub.release.study import study
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.checkpoint.writer import PROCESSES
from tests.release.releases import KEY, fine_tuned

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "threads": partial(ThreadPoolExecutor, 3),
    "processes": partial(ProcessPoolExecutor, 2, mp_context=PROCESSES),
}


def _scaled(factor: int, number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return factor * number


@pytest.mark.parametrize("kind", EXECUTORS)
def test_items_come_back_in_order(kind: str) -> None:
    with EXECUTORS[kind]() as executor:
        for count in (0, 1, 12):
            assert list(spread(_scaled, 3, list(range(count)), executor)) == [3 * n for n in range(count)]
        assert sorted(spread(_scaled, 2, [1] * 100, executor)) == [2] * 100
        with pytest.raises(ValueError, match="thirteen"):
            list(spread(_scaled, 3, list(range(20)), executor))
    assert list(spread(_scaled, 3, [1, 2], None)) == [3, 6]


def test_a_failed_run_starts_nothing_more() -> None:
    """Ctrl-C ends a run with threads when what is under way has ended, not when everything is done."""
    done: list[int] = []

    def run() -> None:
        with threads(2, None) as executor:
            for _ in spread(_slowly, done, list(range(400)), executor):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert 0 < len(done) < 100
    with threads(1, None) as alone:
        assert alone is None


def _slowly(done: list[int], number: int) -> None:
    time.sleep(0.005)
    done.append(number)


@pytest.mark.parametrize("preset", ["exact", "mergelock"])
def test_measuring_and_comparing_run_in_other_processes(tmp_path: Path, preset: str) -> None:
    """Mixtral, because its experts come from other tensors than they are stored under."""
    raw = tiny.save(fine_tuned("mixtral", torch.bfloat16), tmp_path / "raw")
    protect_folder(raw, tmp_path / "release", recipe=preset, key=KEY)
    found, recipe = study(Checkpoint.open(raw)), Recipe.preset(preset)
    release = Checkpoint.open(tmp_path / "release", exclude=["mergeguard.json"])
    results = []
    with EXECUTORS["processes"]() as processes:
        for executor in (None, processes):
            measured: list[str] = []
            facts, _ = learn_facts(
                found,
                recipe=recipe,
                key=KEY,
                base=None,
                executor=executor,
                done=lambda entry, seen=measured: seen.append(entry.name),  # type: ignore[misc]
            )
            assert measured == list(found.checkpoint.entries)
            made = draft(found, facts, recipe=recipe, key=KEY, component="")
            compared: dict[str, int] = {}
            worst = blocks_drift(made, release, executor=executor, done=compared.__setitem__)
            assert sum(compared.values()) == blocks_nbytes(made)
            results.append((facts.bounds, made.mark, worst))
    assert results[0] == results[1]
    assert 0 < results[0][2][0] < 1e-2


def test_nonfinite_weights_are_named_from_other_processes(tmp_path: Path) -> None:
    model = fine_tuned("llama")
    with torch.no_grad():
        model.lm_head.weight[3, 3] = float("nan")
    found = study(Checkpoint.open(tiny.save(model, tmp_path / "raw")))
    with (
        EXECUTORS["processes"]() as executor,
        pytest.raises(NonFiniteWeightsError, match="lm_head.weight in model.safe"),
    ):
        learn_facts(found, recipe=Recipe.preset("exact"), key=KEY, base=None, executor=executor, done=str)


@pytest.mark.parametrize("preset", ["exact", "mergelock"])
def test_the_same_bytes_everywhere(tmp_path: Path, preset: str) -> None:
    raw = tiny.save(fine_tuned("mixtral"), tmp_path / "raw", max_shard_size="50KB")
    protect_folder(raw, tmp_path / "alone", recipe=preset, key=KEY)
    unlock_folder(tmp_path / "alone", tmp_path / "alone unlocked", key=KEY)
    protect_folder(raw, tmp_path / "workers", recipe=preset, key=KEY, workers=2)
    for kind, start in EXECUTORS.items():
        with start() as executor:
            protect_folder(raw, tmp_path / kind, recipe=preset, key=KEY, executor=executor)
            unlock_folder(tmp_path / kind, tmp_path / f"{kind} unlocked", key=KEY, executor=executor)
        assert snapshot(tmp_path / kind) == snapshot(tmp_path / "alone")
        assert snapshot(tmp_path / f"{kind} unlocked") == snapshot(tmp_path / "alone unlocked")
    assert snapshot(tmp_path / "workers") == snapshot(tmp_path / "alone")


def test_a_dask_cluster_is_an_executor(tmp_path: Path) -> None:
    """Two real worker processes, which have nothing but the network and the file system in common with this one."""
    from distributed import Client, LocalCluster

    raw = tiny.save(fine_tuned("llama"), tmp_path / "raw", max_shard_size="50KB")
    protect_folder(raw, tmp_path / "alone", key=KEY, workers=1)
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        executor = client.get_executor()
        protect_folder(raw, tmp_path / "cluster", key=KEY, executor=executor)
        unlock_folder(tmp_path / "cluster", tmp_path / "unlocked", key=KEY, executor=executor)
        used = client.run(lambda: "mergeguard_hub.release.work" in sys.modules)
    assert snapshot(tmp_path / "cluster") == snapshot(tmp_path / "alone")
    assert (
        Checkpoint.open(tmp_path / "unlocked")
        .tensor("lm_head.weight")
        .equal(Checkpoint.open(raw).tensor("lm_head.weight"))
    )
    assert set(used.values()) == {True}, "the work was not done on the workers"
