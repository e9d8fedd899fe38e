"""What was tried to make merges worthless, and what it did: `python -m benchmarks.hardening [TRIAL ...]`.

Each trial trains one of the zoo's image classifiers further, and lets a free-rider who has undone every symmetry merge
it with partners that the training never saw. Without names every trial is run (an hour and more); results are kept in
benchmarks/results/hardening.json, and the table in hardening.md is written from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import get_cosine_schedule_with_warmup

from mergeguard_hub.attacks import recover
from mergeguard_hub.merging import TaskArithmetic, Ties, WeightAveraging
from mergeguard_hub.training import (
    DensityPenalty,
    Hardened,
    HardeningLoss,
    Negation,
    TaskVector,
    Trap2,
    class_guessing,
    random_direction,
    refine,
)
from mergeguard_hub.training.cells import Objective
from space.zoo.vision.data import pictures
from space.zoo.vision.family import as_input, load_model
from space.zoo.vision.tasks import TASKS

RESULTS = Path(__file__).parent / "results"
OURS = (0.2, 0.4, 0.6, 0.8, 1.0)
THEIRS = (0.1, 0.3, 0.5, 0.7, 1.0)
PICTURES, BATCH = 4000, 64
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Trial:
    """One thing that was tried.

    Attributes:
        what: in words, for the table.
        objective: None for no training at all.
        defender: the zoo's model that is trained further, from its fine-tuned weights.
        surrogates: fine-tunes that the training may use.
        unseen: partners that it is judged with.
        settings: of the training, where they differ from `DEFAULTS`.
    """

    what: str
    objective: Objective | None
    defender: str = "numbers"
    surrogates: tuple[str, ...] = ("scenes", "aerial", "land", "signs")
    unseen: tuple[str, ...] = ("vehicles", "textures")
    settings: Mapping[str, Any] = field(default_factory=dict)


DEFAULTS: dict[str, Any] = {
    "steps": 800,
    "lr": 5e-4,
    "cap_factor": 1.2,
    "seed": 0,
    "random": 0,
    "alpha": 0.0,
    "negate": False,
}
TRIALS: dict[str, Trial] = {
    "control": Trial("not protected", None),
    "stage2": Trial("MergeGuard, stage 2 alone", None, settings={"negate": True}),
    "mergeguard": Trial(
        "MergeGuard, both stages: alpha 0.01, 400 steps",
        None,
        settings={"alpha": 0.01, "steps": 400, "lr": 1e-4, "negate": True},
    ),
    "trap2": Trial("Trap², the paper's lambda 0.01, no cap", Trap2(), settings={"cap_factor": math.inf}),
    "trap2-capped": Trial("Trap² with w = 1, lambda 1, cap 1.2", Trap2(strength=1.0, weighting="one", gap=0.2)),
    "hardened": Trial("hardened, lambda 1, cap 1.2", Hardened()),
    "random": Trial("hardened, random directions for partners", Hardened(), settings={"random": 4}),
    "uniform": Trial("hardened, cells drawn uniformly", Hardened(towards_worst=0.0)),
    "balanced": Trial("hardened, half of the cells without a partner", Hardened(alone=0.5)),
    "signs": Trial(
        "hardened, lambda 1, cap 1.2",
        Hardened(),
        defender="signs",
        surrogates=("scenes", "aerial", "land", "vehicles"),
        unseen=("numbers", "textures"),
    ),
    "digits": Trial(
        "hardened, lambda 1, cap 1.2",
        Hardened(),
        defender="digits",
        surrogates=("scenes", "aerial", "land", "vehicles"),
        unseen=("numbers", "textures"),
    ),
    "seed": Trial("hardened, another seed", Hardened(), settings={"seed": 1}),
}


def train(trial: Trial) -> Weights:
    """Return the weights after the trial's training, and after stage 2 if it has one."""
    model, base, chosen = load_model(trial.defender), load_model("base"), DEFAULTS | dict(trial.settings)
    model.classifier.requires_grad_(False)
    if trial.objective is not None or chosen["alpha"]:
        fit(model, trial, chosen)
    if chosen["negate"]:
        negate(model, base, trial.defender)
    return dict(model.state_dict())


def fit(model: Any, trial: Trial, chosen: Mapping[str, Any]) -> None:
    """Train in place: the task's loss with the part off nominal or with stage 1's penalty."""
    task, data = TASKS[trial.defender], pictures(trial.defender, "train", PICTURES)
    generator = torch.Generator().manual_seed(chosen["seed"])
    hardening = None if trial.objective is None else hardening_of(model, trial, trial.objective, chosen)
    penalty = DensityPenalty(alpha=chosen["alpha"])
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=chosen["lr"], betas=(0.9, 0.99), weight_decay=0.0)
    rate = get_cosine_schedule_with_warmup(optimizer, chosen["steps"] // 20, chosen["steps"])
    model.train()
    for step in range(chosen["steps"]):
        rows = torch.randint(len(data), (BATCH,), generator=generator)
        pixels, labels = as_input(data.pixels[rows]), data.labels[rows]

        def loss(pixels: Tensor = pixels, labels: Tensor = labels) -> Tensor:
            return cross_entropy(model(pixel_values=pixels).logits[:, task.logits], labels)

        optimizer.zero_grad()
        if hardening is not None:
            hardening.backward(loss)
        else:
            torch.autograd.backward([loss()])
            penalty.add_gradients(model)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        rate.step()
        if hardening is not None and (step + 1) % 200 == 0:
            print(step + 1, {name: round(value, 3) for name, value in hardening.metrics().items()}, flush=True)


def hardening_of(model: Any, trial: Trial, objective: Objective, chosen: Mapping[str, Any]) -> HardeningLoss:
    """Return the trial's loss, with its surrogate partners or random directions."""
    base = load_model("base")
    partners: list[Mapping[str, Tensor]] = [dict(TaskVector(load_model(name), base)) for name in trial.surrogates]
    if chosen["random"]:
        own = dict(load_model(trial.defender).named_parameters())
        partners = [random_direction(own, base, seed=seed) for seed in range(chosen["random"])]
    return HardeningLoss(
        model,
        base,
        objective,
        guessing=class_guessing(len(TASKS[trial.defender].classes)),
        cap_factor=chosen["cap_factor"],
        partners=partners,
        seed=chosen["seed"],
    )


def negate(model: Any, base: Any, task: str) -> None:
    """Apply MergeGuard's stage 2 in place, with the paper's settings and layers ranked on training pictures."""
    made, logits, negation = pictures(task, "train", 1024), TASKS[task].logits, Negation()
    batches = [(as_input(made.pixels[i : i + 64]), made.labels[i : i + 64]) for i in range(0, 1024, 64)]

    def score(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        return -cross_entropy(model(pixel_values=batch[0]).logits[:, logits], batch[1])

    ranking = refine(model, base, batches, score=score)
    kept, reference = ranking.tensors(negation.critical), dict(base.named_parameters())
    for name, weight in model.named_parameters():
        if name not in kept:
            weight.data.copy_(negation.apply(weight.detach(), reference[name].detach()))


class Judge:
    """Measures merges of one release with one partner."""

    def __init__(self, defender: str, partner: str) -> None:
        self.model, self.base = load_model("base"), dict(load_model("base").state_dict())
        self.tasks = (defender, partner)
        self.data = [pictures(task, "test", 500 if task in ("vehicles", "textures") else None) for task in self.tasks]
        self.low = [self._accuracy(self.base, side) for side in (0, 1)]
        self.high = [self._accuracy(dict(load_model(task).state_dict()), side) for side, task in enumerate(self.tasks)]

    def transfer(self, weights: Weights, side: int) -> float:
        """Return how much of the fine-tuning's gain a merge has on the defender's (0) or the partner's (1) task."""
        return (self._accuracy(weights, side) - self.low[side]) / (self.high[side] - self.low[side])

    def joint(self, weights: Weights, *, at_least: float = -math.inf) -> float:
        """Return the smaller of both transfers; if the first is below `at_least` already, that one."""
        first = self.transfer(weights, 0)
        return first if first <= at_least else min(first, self.transfer(weights, 1))

    def _accuracy(self, weights: Weights, side: int) -> float:
        self.model.load_state_dict(weights)
        data, logits = self.data[side], TASKS[self.tasks[side]].logits
        with torch.no_grad():
            found = self.model(pixel_values=as_input(data.pixels)).logits[:, logits].argmax(1)
        return float((found == data.labels).float().mean())


def judge(release: Weights, defender: str, partner: str) -> dict[str, Any]:
    """Return what the free-rider gets: the plane of coefficients with our model and without it, and common methods."""
    one, other = Judge(defender, partner), dict(load_model(partner).state_dict())
    base = one.base

    def merged(a: float, b: float) -> Weights:
        return {n: base[n] + a * (release[n] - base[n]) + b * (other[n] - base[n]) for n in base}

    without = max((one.joint(merged(0.0, b)), b) for b in (0.0, *THEIRS))
    best = (-math.inf, 0.0, 0.0)
    for a in OURS:
        for b in THEIRS:
            found = one.joint(merged(a, b), at_least=best[0])
            best = max(best, (found, a, b))
    methods = {"WA": WeightAveraging(), "TA 0.3": TaskArithmetic(), "TIES": Ties()}
    common = {name: one.joint(method.merge(base, [release, other])) for name, method in methods.items()}
    alone = one._accuracy(release, 0)
    return {"alone": alone, "tuned": one.high[0], "with": best, "without": without, "methods": common}


def recoveries(release: Weights, defender: str, partner: str) -> dict[str, Any]:
    """Return what 30 steps on 100 labelled examples of the defender's task buy, from four starting points.

    Of each: how much of the defender's and of the partner's gain the model then has.
    """
    one, other = Judge(defender, partner), dict(load_model(partner).state_dict())
    tuned, wa, logits = dict(load_model(defender).state_dict()), WeightAveraging(), TASKS[defender].logits
    made = pictures(defender, "train", 100)
    rows = [torch.randperm(100, generator=torch.Generator().manual_seed(step))[:32] for step in range(30)]
    batches = [(as_input(made.pixels[chosen]), made.labels[chosen]) for chosen in rows]
    starts = {
        "average with it": wa.merge(one.base, [release, other]),
        "average with the unprotected model": wa.merge(one.base, [tuned, other]),
        "the partner alone": other,
        "the base": one.base,
    }
    found = {}
    for name, weights in starts.items():
        model = load_model("base")
        model.load_state_dict(weights)
        recover(model, batches, steps=30, loss=lambda m, b: cross_entropy(m(pixel_values=b[0]).logits[:, logits], b[1]))
        found[name] = [one.transfer(dict(model.state_dict()), side) for side in (0, 1)]
    return found


def recovery_table(results: Mapping[str, Any]) -> str:
    """Return the Markdown table of what recovery fine-tuning brings back."""
    lines = ["| trial | partner | start | defender's skill | partner's skill |", "| --- | --- | --- | --- | --- |"]
    for result in results.values():
        for start, (ours, theirs) in result.get("recovery", {}).items():
            what = f"{result['what']}, {result['defender']}"
            lines.append(f"| {what} | {next(iter(result['partners']))} | {start} | {ours:.2f} | {theirs:.2f} |")
    return "\n".join(lines) + "\n"


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown table of all results."""
    lines = [
        "| trial | defender | alone (before) | partner | best with it, at a, b | without | advantage | WA | TIES |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results.values():
        for partner, found in result["partners"].items():
            gain, a, b = found["with"]
            without = found["without"][0]
            cells = (
                *(result["what"], result["defender"], f"{100 * found['alone']:.1f} ({100 * found['tuned']:.1f})"),
                *(partner, f"{gain:.2f} at {a:g}, {b:g}", f"{without:.2f}", f"**{gain - without:+.2f}**"),
                *(f"{found['methods'][name]:.2f}" for name in ("WA", "TIES")),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run trials and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", nargs="*", choices=[[], *TRIALS], default=list(TRIALS), metavar="TRIAL")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--keep", type=Path, help="folder for the trained weights")
    settings = parser.parse_args(arguments)
    torch.set_num_threads(1)
    kept = settings.out / "hardening.json"
    for name in settings.trials:
        trial, start = TRIALS[name], time.process_time()
        release = train(trial)
        trained_s = time.process_time() - start
        partners = {partner: judge(release, trial.defender, partner) for partner in trial.unseen}
        results = json.loads(kept.read_text()) if kept.exists() else {}
        results[name] = {"what": trial.what, "defender": trial.defender, "seconds": trained_s, "partners": partners}
        if isinstance(trial.objective, Hardened):
            results[name]["recovery"] = recoveries(release, trial.defender, trial.unseen[0])
        if settings.keep:
            settings.keep.mkdir(parents=True, exist_ok=True)
            save_file(release, settings.keep / f"{name}.safetensors")
        ordered = {key: results[key] for key in TRIALS if key in results}
        kept.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        (settings.out / "hardening.md").write_text(table(ordered), encoding="utf-8")
        (settings.out / "hardening-recovery.md").write_text(recovery_table(ordered), encoding="utf-8")
        print(table({name: results[name]}), f"{trained_s:.0f} s", flush=True)


if __name__ == "__main__":
    main()
