"""One process of a training in several: `python -m tests.training.two_processes HOW OUT`, with RANK and WORLD_SIZE set.

Every process takes its share of the same batches. The first writes the weights and losses at the end.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mergeguard_hub.training import DensityPenalty, Hardened, HardeningLoss, ProtectedTrainer, TaskVector
from mergeguard_hub.training.hardening import Losses
from tests import tiny
from tests.training import pairs

STEPS, ROWS = 4, 8


def train(how: str) -> dict[str, Any]:
    """Train a tiny Llama on half of the plane, and return its weights and the losses of all steps."""
    from accelerate import Accelerator

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    model, base = pairs.pair("llama")
    partner = TaskVector(pairs.moved(tiny.llama(), seed=9), tiny.llama())
    accelerator = Accelerator(cpu=True)
    if how == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (size,))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.05)
    else:
        model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.05))
    hardening = HardeningLoss(model, base, Hardened(), guessing=4.5, partners=[partner], seed=5)
    losses, penalty = [], DensityPenalty(alpha=0.01)
    for batch in pairs.batches(base, STEPS, ROWS):
        rows = slice(rank * ROWS // size, (rank + 1) * ROWS // size)
        mine = {name: tensor[rows] for name, tensor in batch.items()}
        optimizer.zero_grad()
        found = hardening.backward(lambda mine=mine: model(**mine).loss, backward=accelerator.backward)  # type: ignore[misc]
        losses.append((found.off_nominal, found.capped))
        penalty.add_gradients(model)
        optimizer.step()
    weights = {name.removeprefix("module."): whole(p.detach()) for name, p in model.named_parameters()}
    return {"weights": weights, "losses": losses}


class Noting(HardeningLoss):
    """Keeps the losses of all parts of all batches."""

    def off_nominal(self, *args: Any, **kwargs: Any) -> Losses:
        """Note what is found."""
        found = super().off_nominal(*args, **kwargs)
        vars(self).setdefault("noted", []).append((found.off_nominal, found.capped))
        return found


def train_by_trainer(folder: Path) -> dict[str, Any]:
    """As `train`, by a Trainer that accumulates two parts of each batch."""
    from transformers import TrainingArguments

    model, base = pairs.pair("llama")
    partner = TaskVector(pairs.moved(tiny.llama(), seed=9), tiny.llama())
    batch = pairs.batches(base, 1, 2 * STEPS * ROWS)[0]
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=ROWS // int(os.environ.get("WORLD_SIZE", "1")),
        gradient_accumulation_steps=2,
        learning_rate=0.05,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        ddp_backend="gloo" if "RANK" in os.environ else None,
        ddp_find_unused_parameters=True,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = ProtectedTrainer(
        model=model,
        args=arguments,
        train_dataset=[{name: tensor[i] for name, tensor in batch.items()} for i in range(2 * STEPS * ROWS)],
        hardening=partial(Noting, base=base, objective=Hardened(), guessing=4.5, partners=[partner], seed=5),
        density=DensityPenalty(alpha=0.01),
    )
    trainer.train()
    return {"weights": pairs.weights(model), "losses": vars(trainer.hardening)["noted"]}


def whole(tensor: Any) -> torch.Tensor:
    """Return a tensor that may be sharded as a whole one."""
    found: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found.clone()


def main() -> None:
    """Train, and write what the first process found."""
    torch.set_num_threads(1)
    how, out = sys.argv[1], Path(sys.argv[2])
    found = train_by_trainer(out.parent / "run") if how == "trainer" else train(how)
    if os.environ["RANK"] == "0":
        torch.save(found, out)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
