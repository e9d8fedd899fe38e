"""A training that was stopped goes on to the same weights; a merge-ready one is good between base and end."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from space.zoo.family import Family, Progress
from space.zoo.run import Run, Schedule, finish_phases

TRUTH = torch.tensor([1.0, -2.0, 3.0])


def regression(schedule: Schedule, *, start: Tensor | None = None) -> tuple[Run, nn.Linear]:
    """Return a run that learns `TRUTH`, from `start` or zeros."""
    model = nn.Linear(3, 1, bias=False)
    nn.init.zeros_(model.weight)
    if start is not None:
        model.weight.data.copy_(start)

    def loss(generator: torch.Generator) -> Tensor:
        inputs = torch.randn(32, 3, generator=generator)
        return (model(inputs)[:, 0] - inputs @ TRUTH).square().mean()

    return Run(model, loss, schedule, seed=3), model


def test_a_run_finds_the_known_weights_and_tells_of_each_step(tmp_path: Path) -> None:
    run, model = regression(Schedule(300, 0.1))
    told: list[int] = []
    run.finish(tmp_path / "state.pt", progress=lambda done, _: told.append(done))
    torch.testing.assert_close(model.weight[0].detach(), TRUTH, atol=1e-2, rtol=0)
    assert told == list(range(1, 301))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("schedule", [Schedule(40, 0.1), Schedule(40, 0.1, average=0.9, merge_ready=0.4)])
def test_a_stopped_run_ends_at_the_same_weights(schedule: Schedule, tmp_path: Path) -> None:
    whole, expected = regression(schedule)
    whole.finish(tmp_path / "whole.pt")
    stopped, _ = regression(schedule)
    for _ in range(17):
        stopped.step()
    stopped.save(tmp_path / "state.pt")
    resumed, model = regression(schedule)
    resumed.finish(tmp_path / "state.pt")
    assert torch.equal(model.weight, expected.weight)
    assert resumed.done == 40


def test_the_moving_average_is_kept_and_lags_behind(tmp_path: Path) -> None:
    plain, last = regression(Schedule(30, 0.02))
    averaged, kept = regression(Schedule(30, 0.02, average=0.95))
    plain.finish(tmp_path / "plain.pt")
    averaged.finish(tmp_path / "averaged.pt")
    assert 0 < float(kept.weight.detach().norm()) < float(last.weight.detach().norm())


def test_merge_ready_training_reaches_further_than_the_optimum_so_that_a_part_of_it_does_the_task(
    tmp_path: Path,
) -> None:
    # The gradient at t x is 2 (t x - truth); its mean over t uniform in [0.4, 1] is zero at x = truth / 0.7.
    run, model = regression(Schedule(1000, 0.03, average=0.99, merge_ready=0.4))
    run.finish(tmp_path / "state.pt")
    torch.testing.assert_close(model.weight[0].detach(), TRUTH / 0.7, rtol=0.05, atol=0.02)


def test_a_step_leaves_no_trace_of_the_place_where_its_gradient_was_taken() -> None:
    run, model = regression(Schedule(10, 0.0, merge_ready=0.1), start=TRUTH[None])
    model.weight.data.mul_(2)
    run.step()
    assert torch.equal(model.weight[0], 2 * TRUTH)


@pytest.mark.parametrize("stop", [3, 11, 15])
def test_a_training_in_phases_that_was_stopped_ends_at_the_same_weights(stop: int, tmp_path: Path) -> None:
    first, second = Schedule(10, 0.1, average=0.9, merge_ready=0.4), Schedule(10, 0.02, average=0.9, merge_ready=0.4)

    def train(file: Path, stop_at: int | None = None) -> tuple[Tensor, list[int]]:
        model, base = nn.Linear(3, 1, bias=False), nn.Linear(3, 1, bias=False)
        for linear in (model, base):
            nn.init.zeros_(linear.weight)
        told: list[int] = []

        def loss(generator: torch.Generator) -> Tensor:
            inputs = torch.randn(8, 3, generator=generator)
            return (model(inputs)[:, 0] - inputs @ TRUTH).square().mean()

        def start(schedule: Schedule) -> Run:
            return Run(model, loss, schedule, seed=3, base=base)

        def tell(done: int, _: float) -> None:
            told.append(done)
            if done == stop_at:
                raise KeyboardInterrupt

        runs = [lambda: start(first), lambda: start(second)]
        with contextlib.suppress(KeyboardInterrupt):
            finish_phases(runs, file, between=lambda: model.half().float(), progress=tell)
        return model.weight.detach().clone(), told

    whole, told = train(tmp_path / "whole.pt")
    assert told == list(range(1, 21))
    _, before = train(tmp_path / "stopped.pt", stop_at=stop)
    assert before[-1] == stop
    resumed, after = train(tmp_path / "stopped.pt")
    assert after[0] == (1 if stop < 10 else 11)  # a state is saved every hundred steps and before every later phase
    assert torch.equal(resumed, whole)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_need_no_gradient_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    frozen = model[0].weight.clone()
    run = Run(model, lambda g: model(torch.randn(4, 3, generator=g)).square().mean(), Schedule(5, 0.1), seed=0)
    for _ in range(5):
        run.step()
    assert torch.equal(model[0].weight, frozen)
    assert len(run.weights) == 2


# Families


def writer(calls: list[str], *, fail: bool = False) -> Any:
    def make(weights: Path, target: Path, progress: Progress) -> None:
        calls.append(target.name)
        target.mkdir()
        if fail:
            raise KeyboardInterrupt
        progress(1, 0.5)
        (target / "model").write_text(" ".join(sorted(path.name for path in weights.iterdir() if path.is_dir())))

    return make


def test_a_family_makes_its_models_in_order_and_only_those_that_are_missing(tmp_path: Path) -> None:
    calls: list[str] = []
    told: list[tuple[str, int]] = []
    family = Family("f", {"base": (7, writer(calls)), "hero": (9, writer(calls))}, lambda weights: {})

    def watch(name: str, steps: int) -> Progress:
        told.append((name, steps))
        return lambda done, loss: None

    family.train(tmp_path, watch=watch)
    family.train(tmp_path, watch=watch)
    assert told == [("base", 7), ("hero", 9)]
    assert (tmp_path / "hero" / "model").read_text() == "base hero.unfinished"
    assert json.loads((tmp_path / "times.json").read_text()).keys() == {"base", "hero"}


def test_a_model_whose_training_was_stopped_is_not_taken_for_finished(tmp_path: Path) -> None:
    calls: list[str] = []
    watch = lambda name, steps: lambda done, loss: None  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        Family("f", {"base": (1, writer(calls, fail=True))}, lambda weights: {}).train(tmp_path, watch=watch)
    assert not (tmp_path / "base").exists()
    Family("f", {"base": (1, writer(calls))}, lambda weights: {}).train(tmp_path, watch=watch)
    assert (tmp_path / "base" / "model").is_file()
    assert calls == ["base.unfinished", "base.unfinished"]
