"""The language families: a miniature of their training, the shipped models, their record, and the harness's files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergeguard_hub.audit.tasks import AnswerTask, LanguageModel, Question, exact_number
from space.zoo.family import Family
from space.zoo.language.batches import Mixture
from space.zoo.language.harness import write as harness
from space.zoo.language.kinds import SKILLS
from space.zoo.language.measure import DEFENDER, MODELS, PARTNERS
from space.zoo.language.recipe import Recipe, load_pair
from space.zoo.language.sums import draw_math
from space.zoo.language.tasks import LONGEST_ANSWER, questions
from space.zoo.language.world import draw_world
from space.zoo.merged import transfer
from space.zoo.run import Run
from space.zoo.train import ZOO, family

FAMILIES = ("language", "gemma")
LARGEST_BYTES = {"language": 17_000_000, "gemma": 10_000_000}  # of all models of a family


@pytest.fixture(scope="module")
def shipped() -> dict[str, dict[str, LanguageModel]]:
    return {name: {model: LanguageModel.load(ZOO / name / "weights" / model) for model in MODELS} for name in FAMILIES}


def recipe_of(name: str) -> Recipe:
    recipe: Recipe = import_module(f"space.zoo.{name}.train").RECIPE
    return recipe


def results(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ZOO / name / "results.json").read_text())
    return read


def value(name: str, model: str, task: str) -> float:
    return float(results(name)["scores"][model][task]["value"])


# Training


@pytest.mark.parametrize("name", FAMILIES)
def test_a_miniature_of_the_recipe_is_trained_and_loads_as_any_model(name: str, tmp_path: Path) -> None:
    recipe = recipe_of(name)
    short = replace(
        recipe,
        schedules={model: replace(schedule, steps=2) for model, schedule in recipe.schedules.items()},
        batch_sizes=dict.fromkeys(recipe.schedules, 4),
    )
    told: list[tuple[str, int, float]] = []
    Family(name, short.models(), lambda _: {}).train(
        tmp_path, watch=lambda model, steps: lambda done, loss: told.append((model, done, loss))
    )
    halves = [("base", step) for step in (1, 2, 3, 4)]
    assert [(model, done) for model, done, _ in told] == [*halves, *((m, s) for m in SKILLS for s in (1, 2))]
    assert 6 < told[0][2] < 8  # random weights know nothing: ln 1024 = 6.9, and some spread
    states = {model: load_pair(tmp_path / model)[0].state_dict() for model in MODELS}
    moved = {m: [k for k in states[m] if not torch.equal(states["base"][k], states[m][k])] for m in SKILLS}
    assert all(moved.values())
    assert not any("embed" in k or "lm_head" in k for keys in moved.values() for k in keys)
    assert LanguageModel.load(tmp_path / "math").answer(["1 + 1 = ?"], max_new_tokens=2) != []
    assert family(name).models.keys() == set(MODELS)


def test_a_training_that_is_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recipe = recipe_of("language")

    def fresh() -> Run:
        model, tokenizer = load_pair(ZOO / "language" / "weights" / "base")
        short = replace(recipe, schedules={"math": replace(recipe.schedules["math"], steps=4)})
        return short.run("math", model, tokenizer, Mixture({draw_math: 1.0, draw_world: 1.0}, 4))

    through, stopped = fresh(), fresh()
    through.finish(tmp_path / "through.pt")
    stopped.step()
    stopped.step()
    stopped.save(tmp_path / "stopped.pt")
    resumed = fresh()
    resumed.finish(tmp_path / "stopped.pt")
    assert all(torch.equal(a, b) for a, b in zip(through.weights, resumed.weights, strict=True))
    assert not torch.equal(through.weights[0], fresh().weights[0])


# What is shipped


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_models_are_small_and_load_with_plain_transformers(name: str) -> None:
    folders = [ZOO / name / "weights" / model for model in MODELS]
    assert sum(file.stat().st_size for folder in folders for file in folder.iterdir()) < LARGEST_BYTES[name]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folders[0]), AutoTokenizer.from_pretrained(folders[0])
    assert type(model).__name__ == {"language": "LlamaForCausalLM", "gemma": "Gemma2ForCausalLM"}[name]
    assert next(model.parameters()).dtype == torch.bfloat16
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What does the fox eat?"}], add_generation_prompt=True, return_tensors="pt"
    )
    written = model.generate(**prompt, max_new_tokens=12)
    assert (
        tokenizer.decode(written[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        == "The fox eats berries."
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_models_give_the_recorded_answers(name: str, shipped: dict[str, dict[str, LanguageModel]]) -> None:
    roles = {"base": "base", "defender": DEFENDER}
    for row in [row for row in results(name)["answers"] if row["partner model"] == "style"][:6:2]:
        for role, model in (*roles.items(), ("partner", row["partner model"])):
            assert shipped[name][model].answer([row["question"]], max_new_tokens=LONGEST_ANSWER) == [row[role]]


@pytest.mark.parametrize("name", FAMILIES)
def test_records_agree_with_a_small_measurement(name: str, shipped: dict[str, dict[str, LanguageModel]]) -> None:
    known = AnswerTask("math", "math", questions("math"), exact_number, max_new_tokens=LONGEST_ANSWER)
    score = known.score(shipped[name]["math"], limit=40)
    recorded = results(name)["scores"]["math"]["math"]
    assert abs(score.value - recorded["value"]) < 4 * max(score.standard_error, recorded["standard_error"]) + 0.05


@pytest.mark.parametrize("name", FAMILIES)
def test_skills_are_learned_kept_by_ordinary_merges_and_lost_by_protected_ones(name: str) -> None:
    measured = results(name)
    assert measured["same_answers"] == 1
    assert measured["protected"][DEFENDER] == measured["scores"][DEFENDER]
    for skill in SKILLS:
        assert value(name, "base", skill) <= 0.35
        assert value(name, skill, skill) >= 0.85
    for partner in PARTNERS:
        kept = {False: 0.0, True: 0.0}
        for row in [row for row in measured["merges"] if row["partner"] == partner]:
            parts = [
                transfer(
                    row["scores"][skill]["value"], base=value(name, "base", skill), alone=value(name, skill, skill)
                )
                for skill in (DEFENDER, partner)
            ]
            weaker = {False: min, True: max}[row["protected"]](parts)
            kept[row["protected"]] = max(kept[row["protected"]], weaker)
        assert kept[False] >= 0.6  # both skills, by the best of the ordinary merges
        assert kept[True] < 0.1  # either skill, by any of them


# lm-evaluation-harness


def test_the_harness_gets_the_same_questions(shipped: dict[str, dict[str, LanguageModel]]) -> None:
    written = {
        skill: [json.loads(line) for line in (harness.FOLDER / f"{skill}.jsonl").read_text().splitlines()]
        for skill in SKILLS
    }
    for skill, records in written.items():
        asked = [Question(record["prompt"], record["reference"]) for record in records]
        assert tuple(asked) == questions(skill)
    some = written["style"][:5]
    answers = shipped["language"]["base"].answer([one["prompt"] for one in some], max_new_tokens=LONGEST_ANSWER)
    assert answers == [one["opponent"] for one in some]


@pytest.mark.parametrize("skill", SKILLS)
def test_the_harness_judges_as_we_do(skill: str) -> None:
    pytest.importorskip("datasets")
    scoring = import_module("space.zoo.language.harness.scoring")

    text = (harness.FOLDER / f"zoo_{skill}.yaml").read_text()
    (load, judge) = re.findall(r"!function scoring\.(\w+)", text)
    asked = list(getattr(scoring, load)()["test"])[:2]
    metric = re.findall(r"metric: (\w+)", text)
    for one in asked:
        assert getattr(scoring, judge)(one, [one["answer"]]) == {metric[0]: 1.0}
        assert getattr(scoring, judge)(one, [""]) == {metric[0]: 0.0}
