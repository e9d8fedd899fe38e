"""Fine-tune an image classifier so that merges with it are worthless, and publish it protected.

Runs on a laptop and downloads nothing: the models and pictures are those of this repository's zoo.

    python -m examples.train_vit --out build/train_vit              # some minutes
    accelerate launch -m examples.train_vit --out build/train_vit   # on several processors

For a model of your own, change what is marked with (1) to (3).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from mergeguard_hub import enable
from mergeguard_hub.merging import WeightAveraging
from mergeguard_hub.training import (
    Hardened,
    HardeningLoss,
    MergeGuardCallback,
    ProtectedTrainer,
    TaskVector,
    class_guessing,
)
from space.zoo.vision.data import pictures
from space.zoo.vision.family import as_input, classification, load_model, model_of
from space.zoo.vision.tasks import TASKS

TASK, UNSEEN = "numbers", "vehicles"
SURROGATES = ("scenes", "aerial", "land", "signs")


def samples(count: int) -> list[dict[str, Any]]:
    """Return training examples as the Trainer wants them."""
    made, first = pictures(TASK, "train", count), TASKS[TASK].start
    pixels = as_input(made.pixels)
    return [{"pixel_values": pixels[i], "labels": first + int(made.labels[i])} for i in range(count)]


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, save, and say what the release and its merge with an unseen partner can do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=64)
    settings = parser.parse_args(arguments)
    torch.manual_seed(0)

    model, base = load_model(TASK), load_model("base")  # (1) the finished fine-tune, and what it was fine-tuned from
    model.classifier.requires_grad_(False)
    # (2) fine-tunes of the same base on other tasks, in place of those that a free-rider will merge with
    partners = [TaskVector(load_model(name), base) for name in SURROGATES]
    enable(model)  # every save is protected; the key is made in the user's config folder, and its place is logged

    trainer = ProtectedTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(settings.out / "run"),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=5e-4,
            lr_scheduler_type="cosine",
            weight_decay=0.0,
            save_steps=max(1, settings.steps // 2),
            logging_steps=max(1, settings.steps // 8),
            report_to=[],
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=samples(settings.pictures),
        callbacks=[MergeGuardCallback()],  # checkpoints stay raw and local, so that training can be resumed
        hardening=partial(
            HardeningLoss,
            base=base,
            objective=Hardened(),
            guessing=class_guessing(len(TASKS[TASK].classes)),  # (3) unigram_entropy, zero_prediction for other tasks
            partners=partners,
        ),
    )
    trainer.train()
    trainer.save_model(str(settings.out / "release"))

    found = {"before": load_model(TASK), "alone": load_model(settings.out / "release")}
    other = load_model(UNSEEN).state_dict()
    # A free-rider who has the base undoes every symmetry of the release: so the merge is made with the raw weights.
    merged = WeightAveraging().merge(base.state_dict(), [model.state_dict(), other])
    control = WeightAveraging().merge(base.state_dict(), [load_model(TASK).state_dict(), other])
    found |= {"merged": model_of(merged), "merged, not protected": model_of(control), "base": base}
    scores = {name: classification(TASK).score(one.eval()).value for name, one in found.items()}
    for name, score in scores.items():
        print(f"{TASK}, {name}: {100 * score:.1f} %")
    return scores


if __name__ == "__main__":
    main()
