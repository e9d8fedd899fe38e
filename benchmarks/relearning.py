"""Does letting the free-rider train inside our training make recovery dearer? `python -m benchmarks.relearning`.

Trains the zoo's hardened vision release on with `Relearning`, beside it for as many steps without, and one from the
fine-tune with relearning throughout. Then averages of each with partners are trained back on 100 labelled examples of
both skills (`mergeguard_hub.audit.recovery`), beside the average with the unprotected fine-tune and the base trained on
the same. Writes benchmarks/results/relearning.md; what was measured is not measured again unless --again is given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import ViTForImageClassification

from benchmarks.audit import RESULTS, ROOT, ZOO
from mergeguard_hub.audit import audit
from mergeguard_hub.merging import WeightAveraging
from mergeguard_hub.training import Relearning
from space.zoo.hardened import Settings
from space.zoo.run import Schedule
from space.zoo.train import teller
from space.zoo.vision.data import pictures
from space.zoo.vision.family import load_model
from space.zoo.vision.hardened import SETTINGS, UNSEEN, start_hardening
from space.zoo.vision.train import FINE_TUNE_PICTURES, Part, losses

WEIGHTS = ZOO / "vision" / "weights"
WORK = ROOT / "build" / "relearning"
RECORD = RESULTS / "relearning.json"
DEFENDER, RELEASE = "scenes", "scenes-hardened"


@dataclass(frozen=True)
class Trial:
    """A training that goes on from a model of the zoo.

    Attributes:
        title: what it is called in the table.
        start: the model.
        settings: of the training.
        relearning: whether a free-rider trains in it.
    """

    title: str
    start: str
    settings: Settings
    relearning: bool = True


_ON = Settings(Schedule(steps=300, learning_rate=3e-4))
TRIALS = {
    "without": Trial("trained on, 300 steps", RELEASE, _ON, relearning=False),
    "relearning": Trial("trained on with relearning, 300 steps", RELEASE, _ON),
    "throughout": Trial("hardened from the fine-tune with relearning, 2,000 steps", DEFENDER, SETTINGS),
}
STARTS = {
    "base": "the base",
    "unprotected": "average with the fine-tune",
    "hardened": "average with the hardened release",
    **{name: trial.title for name, trial in TRIALS.items()},
}


def train(name: str, trial: Trial) -> None:
    """Train a trial into a folder."""
    run = start_hardening(DEFENDER, WEIGHTS, settings=trial.settings, seed=10)
    run.model.load_state_dict(load_model(WEIGHTS / trial.start).state_dict())
    if trial.relearning and run.hardening is not None:
        run.hardening.relearning = relearning(run.model)
    trained = run.finish(WORK / f"{name}.pt", progress=teller(name, trial.settings.schedule.steps))
    cast(ViTForImageClassification, trained.to(torch.bfloat16)).save_pretrained(WORK / name)


def relearning(model: Any) -> Relearning:
    """Return a free-rider who has other pictures than each batch's."""
    part = Part(DEFENDER, pictures(DEFENDER, "train", FINE_TUNE_PICTURES), 32)
    generator = torch.Generator().manual_seed(11)

    def loss() -> Tensor:
        return losses(model, [part], generator)[0]

    return Relearning(loss, steps=4, lr=1e-3, every=2)


def measured(release: Any, name: str) -> dict[str, Any]:
    """Return what a release can do alone, its average, and the curves of training that back."""
    content = audit(
        release,
        original=WEIGHTS / DEFENDER,
        base=WEIGHTS / "base",
        partners=[WEIGHTS / partner for partner in UNSEEN],
        tasks=[f"space.zoo.tasks:vision_{task}" for task in (DEFENDER, *UNSEEN)],
        work=WORK / f"{name}-audit",
        methods={"weight_averaging": WeightAveraging()},
        merge_attacks={},
        attacks={},
        limit=300,
        workers=1,
    ).content
    alone = content["alone"]["protected"][f"{DEFENDER}"]
    curves = {
        f"{one['partner']} {name if one['kind'] == 'protected' else one['kind']}": one["points"]
        for one in content["recovery"]
    }
    return {"alone": alone, "curves": curves}


def table(record: Mapping[str, Any]) -> str:
    """Return the Markdown table of the curves."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    curves: dict[str, Any] = {name: points for one in record.values() for name, points in one["curves"].items()}
    steps = [point["steps"] for point in next(iter(curves.values()))]
    yield f"| partner | start | alone, percent | {' | '.join(f'{count} steps' for count in steps)} |"
    yield "|" + " --- |" * (3 + len(steps))
    for partner in UNSEEN:
        for start, title in STARTS.items():
            if f"{partner} {start}" in curves:
                gains = [f"{point['joint']:.2f}" for point in curves[f"{partner} {start}"]]
                alone = f"{100 * record[start]['alone']['value']:.1f}" if start in record else ""
                yield f"| {partner} | {title} | {alone} | {' | '.join(gains)} |"


def main() -> None:
    """Train, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="measure everything again")
    again = parser.parse_args().again
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {} if again or not RECORD.exists() else json.loads(RECORD.read_text(encoding="utf-8"))
    if "hardened" not in record:
        record["hardened"] = measured(WEIGHTS / RELEASE, "hardened")
    for name, trial in TRIALS.items():
        if name in record:
            continue
        if not (WORK / name).exists():
            train(name, trial)
        record[name] = measured(WORK / name, name)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "relearning.md").write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
