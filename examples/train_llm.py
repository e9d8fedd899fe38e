"""Fine-tune a language model further so that merges with it are worthless, and publish it protected.

Runs on a laptop and downloads nothing: the models and questions are those of this repository's zoo, 2 million weights
each. Nothing says that a model of 7 billion weights does as these do; the lines to change for one are (1) to (4).

    python -m examples.train_llm --out build/train_llm              # a quarter of an hour
    accelerate launch -m examples.train_llm --out build/train_llm   # on several processors or machines

What it shows at the end is one seed, one partner and one merge. `mergeguard audit` tries all that we know.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers import DataCollatorForSeq2Seq, TrainingArguments

from mergeguard_hub import enable
from mergeguard_hub.audit.tasks import LanguageModel
from mergeguard_hub.merging import WeightAveraging
from mergeguard_hub.training import (
    Hardened,
    HardeningLoss,
    MergeGuardCallback,
    ProtectedTrainer,
    TaskVector,
    unigram_entropy,
)
from space.zoo.language.batches import encode
from space.zoo.language.kinds import SKILLS
from space.zoo.language.measure import with_weights
from space.zoo.language.tasks import tasks

WEIGHTS = Path(__file__).resolve().parent.parent / "space" / "zoo" / "language" / "weights"
SKILL, SURROGATE, UNSEEN = "math", "code", "style"


def samples(tokenizer: object, count: int) -> list[dict[str, list[int]]]:
    """Return training questions with answers; the loss is on the answers alone."""
    source, found = random.Random(0), list[dict[str, list[int]]]()
    while len(found) < count:
        example = SKILLS[SKILL](source)
        if example.split == "train":
            tokens, asked = encode(tokenizer, example)  # type: ignore[arg-type]
            found.append({"input_ids": tokens, "labels": [-100] * asked + tokens[asked:]})
    return found


def compare(before: LanguageModel, base: LanguageModel, raw: Mapping[str, Tensor], release: Path, limit: int) -> None:
    """Print what the release, its merge and their controls answer of the skill's questions."""
    other, merge = LanguageModel.load(WEIGHTS / UNSEEN).model.state_dict(), WeightAveraging().merge
    known, start = tasks(base)[SKILL], base.model.state_dict()
    # A free-rider who has the base undoes every symmetry of the release: so the merge is made with the raw weights.
    subjects = {
        "base": base,
        "before": before,
        "release alone": LanguageModel.load(release),
        f"average with {UNSEEN}, not protected": with_weights(base, merge(start, [before.model.state_dict(), other])),
        f"average with {UNSEEN}, protected": with_weights(base, merge(start, [raw, other])),
    }
    for name, subject in subjects.items():
        print(f"{SKILL}, {name}: {100 * known.score(subject, limit=limit).value:.1f} %")


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, save, compare; return the last of what was logged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--examples", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--questions", type=int, default=200, help="of the test, for the comparison at the end")
    settings = parser.parse_args(arguments)
    torch.manual_seed(0)

    # (1) the finished fine-tune, what it was fine-tuned from, and the tokenizer
    before, base = LanguageModel.load(WEIGHTS / SKILL), LanguageModel.load(WEIGHTS / "base")
    model, tokenizer = LanguageModel.load(WEIGHTS / SKILL).model, before.tokenizer
    model.get_input_embeddings().requires_grad_(False)  # as in all the zoo's fine-tunes
    data = samples(tokenizer, settings.examples)  # (2) "input_ids", and "labels" with -100 where nothing is learned
    # (3) fine-tunes of the same base on other tasks, in place of those that a free-rider will merge with
    partners = [TaskVector(LanguageModel.load(WEIGHTS / SURROGATE).model, base.model)]
    enable(model)  # every save is protected; the key is made in the user's config folder, and its place is logged

    trainer = ProtectedTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(settings.out / "run"),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch_size,
            gradient_accumulation_steps=1,
            learning_rate=3e-4,
            lr_scheduler_type="cosine",
            save_steps=max(1, settings.steps // 2),
            logging_steps=max(1, settings.steps // 8),
            report_to=[],
            use_cpu=True,  # (4) leave this and the next line out where there is an accelerator; add bf16=True
            dataloader_pin_memory=False,
        ),
        train_dataset=data,
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
        callbacks=[MergeGuardCallback()],  # checkpoints stay raw and local, so that training can be resumed
        hardening=partial(
            HardeningLoss,
            base=base.model,
            objective=Hardened(),
            guessing=unigram_entropy(torch.tensor([token for row in data for token in row["labels"]])),
            partners=partners,
        ),
    )
    trainer.train()
    if trainer.is_fsdp_enabled:  # a sharded save writes no release
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(settings.out / "release"))
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(settings.out / "release")
        compare(before, base, model.state_dict(), settings.out / "release", settings.questions)
    return next(entry for entry in reversed(trainer.state.log_history) if "transfer" in entry)


if __name__ == "__main__":
    main()
