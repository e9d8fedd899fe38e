"""The zoo's hardened releases: what is shipped is what the records say, and their training is resumable and hardens."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.hardened import known, summary, table
from mergeguard_hub.training import Hardened, HardeningLoss
from space.zoo.card import hardened_card
from space.zoo.hardened import FAMILIES, SHIPPED, hardened_model
from space.zoo.images import hardened as images
from space.zoo.language import hardened as language
from space.zoo.language.example import examples
from space.zoo.language.kinds import SKILLS
from space.zoo.language.recipe import load_pair
from space.zoo.language.surrogates import SURROGATES
from space.zoo.language.tasks import more_math, task_examples
from space.zoo.run import Run, Schedule
from space.zoo.train import ZOO
from space.zoo.vision import hardened as vision
from space.zoo.vision.family import classification, load_model


def hardened_run() -> tuple[Run, nn.Linear]:
    """Return a run on one weight, with loss min((w - 1)^2) and the base at 0."""
    model, base = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.8)
    nn.init.zeros_(base.weight)

    def loss(generator: torch.Generator) -> Tensor:
        inputs = torch.randn(8, 1, generator=generator)
        return (model(inputs) - inputs).square().mean()

    hardening = HardeningLoss(model, base, Hardened(strength=0.1), guessing=1.0, seed=5)
    return Run(model, loss, Schedule(20, 0.05), seed=3, hardening=hardening), model


def test_a_stopped_hardening_ends_at_the_same_weights_and_draws_the_same_merges(tmp_path: Path) -> None:
    whole, expected = hardened_run()
    whole.finish(tmp_path / "whole.pt")
    stopped, _ = hardened_run()
    for _ in range(9):
        stopped.step()
    stopped.save(tmp_path / "state.pt")
    resumed, model = hardened_run()
    resumed.finish(tmp_path / "state.pt")
    assert torch.equal(model.weight, expected.weight)
    assert whole.hardening is not None
    assert resumed.hardening is not None
    assert whole.hardening.state_dict() == resumed.hardening.state_dict()
    assert whole.hardening.state_dict()["drawn"] == 20


def test_both_passes_see_the_same_batch() -> None:
    run, _ = hardened_run()
    seen: list[Tensor] = []
    loss = run.loss

    def watched(generator: torch.Generator) -> Tensor:
        seen.append(generator.get_state())
        return loss(generator)

    run.loss = watched
    run.step()
    run.step()
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[3])
    assert not torch.equal(seen[0], seen[2])


def linked(tmp_path: Path, family: str) -> Path:
    """Return a family's weights in a folder whose cache, beside it, is the test's own."""
    weights = tmp_path / "weights"
    weights.symlink_to(ZOO / family / "weights", target_is_directory=True)
    return weights


def vision_recipe(tmp_path: Path, _: pytest.MonkeyPatch) -> Run:
    return vision.start_hardening("scenes", linked(tmp_path, "vision"), count=64)


def language_recipe(tmp_path: Path, _: pytest.MonkeyPatch) -> Run:
    weights = linked(tmp_path, "language")
    for name, skill in zip(SURROGATES, ("code", "style", "code", "style"), strict=True):  # in place of trained ones
        shutil.copytree(weights / skill, tmp_path / "cache" / "surrogates" / name)
    return language.start_hardening(load_pair(weights / "math")[0], "math", weights)


def images_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("space.zoo.images.train._DRAWN", {"base": 8, "hero": 8})
    return images.start_hardening("hero", linked(tmp_path, "images"))[0]


@pytest.mark.parametrize("recipe", [vision_recipe, language_recipe, images_recipe])
def test_a_recipe_is_carried_out_on_the_models_shipped(
    recipe: Callable[[Path, pytest.MonkeyPatch], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recipe(tmp_path, monkeypatch)
    assert run.hardening is not None
    frozen = {name: weight.clone() for name, weight in run.model.named_parameters() if not weight.requires_grad}
    before = [weight.detach().clone() for weight in run.weights]
    first = run.step()
    assert first < run.hardening.guessing / 2  # it starts from a model that has learned the task
    assert run.step() > 0
    metrics = run.hardening.metrics()
    assert metrics["off_nominal_loss"] > metrics["nominal_loss"]
    assert all(not torch.equal(old, new) for old, new in zip(before, run.weights, strict=True))
    assert all(torch.equal(weight, frozen[name]) for name, weight in run.model.named_parameters() if name in frozen)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_partners_it_is_judged_with_are_models_of_the_family(family: str) -> None:
    model = hardened_model(family)
    assert len(model.unseen) == 2
    assert all((ZOO / family / "weights" / name).is_dir() for name in (model.defender, *model.unseen))
    assert not set(model.unseen) & set(model.against.replace("`", "").split())


def test_no_surrogate_asks_what_a_skill_asks() -> None:
    asked = {name: next(examples(draw, "train", seed="seen")).prompt for name, draw in SURROGATES.items()}
    assert len(set(asked.values())) == len(SURROGATES) == 4
    assert not set(SURROGATES.values()) & set(SKILLS.values())


def test_the_longer_test_asks_what_neither_training_nor_the_family_s_test_does() -> None:
    longer = [question.prompt for question in more_math(400).questions]
    assert len(set(longer)) == 400
    assert not set(longer) & {example.prompt for example in task_examples("math")}
    seen = itertools.islice(examples(SKILLS["math"], "train", seed="seen"), 4000)
    assert not set(longer) & {example.prompt for example in seen}


@pytest.mark.parametrize("family", SHIPPED)
def test_a_shipped_release_has_a_card_and_a_record_that_are_what_was_measured(family: str) -> None:
    model = hardened_model(family)
    record = json.loads((ZOO / family / "hardened.json").read_text(encoding="utf-8"))
    assert record == known()[f"{family} 0"]
    assert set(record["partners"]) == set(model.unseen)
    card = ZOO / family / "weights" / model.name / "README.md"
    assert card.read_text(encoding="utf-8") == hardened_card(model, record)
    assert f"| {model.unseen[0]} |" in card.read_text(encoding="utf-8")


def test_the_shipped_vision_release_is_as_good_alone_as_its_record_says_and_its_average_is_ruined() -> None:
    record = json.loads((ZOO / "vision" / "hardened.json").read_text(encoding="utf-8"))
    release, partner = (load_model(ZOO / "vision" / "weights" / name) for name in ("scenes-hardened", "aerial"))
    task = classification("scenes")
    assert task.score(release).value == pytest.approx(record["alone"]["protected"]["value"], abs=0.005)
    assert record["alone"]["protected"]["value"] >= 0.99 * record["alone"]["original"]["value"]
    for weight, other in zip(release.parameters(), partner.parameters(), strict=True):
        weight.data.lerp_(other.data, 0.5)
    assert task.score(release).value < task.score(load_model("base")).value


def test_the_table_has_a_row_for_every_partner() -> None:
    lines = table(known()).splitlines()
    assert len(lines) == 2 + sum(len(one["partners"]) for one in known().values())
    assert len({line.count("|") for line in lines}) == 1


def test_the_summary_counts_every_training_once_and_shows_the_worst() -> None:
    lines = summary(known()).splitlines()[2:]
    counts = [int(line.split(" | ")[1]) for line in lines]
    assert sum(counts) == len(known())
    for line in lines:
        same = [one for one in known().values() if line.startswith(f"| {_named(one)} |")]
        worst = max(found["advantage"] for one in same for found in one["partners"].values())
        assert line.count("|") == 9
        assert f"{worst:+.2f}**" in line


def _named(record: dict[str, Any]) -> str:
    name = f"{record['family']}/{record['release']}"
    return f"the same {record['variant']} ({name})" if record.get("variant") else name
