"""What MergeGuard's stage 1 costs per training step: `python -m benchmarks.stage_one`.

Plain AdamW steps on the zoo's models, the same with the fused penalty, and the same with the paper's loss as a graph
over all weights, in turns on the same batch, in processor time on one thread. Writes benchmarks/results/stage-one.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mergeguard_hub.training import DensityPenalty
from space.zoo.language.recipe import load_pair
from space.zoo.vision import family as vision

RESULTS = Path(__file__).parent / "results" / "stage-one.md"
LANGUAGE = Path(__file__).parent.parent / "space/zoo/language/weights/base"
ALPHA = 0.01


def step(model: Any, optimizer: Any, loss: Callable[[], Tensor], how: str) -> float:
    """Do one step and return its seconds of processor time."""
    start = time.process_time()
    optimizer.zero_grad()
    total = loss()
    if how == "autograd":
        total = total + ALPHA * torch.stack([weight.square().sum() for weight in model.parameters()]).sum()
    torch.autograd.backward([total])
    if how == "fused":
        DensityPenalty(alpha=ALPHA).add_gradients(model)
    optimizer.step()
    return time.process_time() - start


def measure(model: Any, loss: Callable[[], Tensor], rounds: int) -> dict[str, float]:
    """Return the fastest step's seconds by kind of step: other work on the machine only ever adds to them."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    taken: dict[str, list[float]] = {"plain": [], "fused": [], "autograd": []}
    for _ in range(rounds):
        for how, seconds in taken.items():
            seconds.append(step(model, optimizer, loss, how))
    return {how: min(seconds) for how, seconds in taken.items()} | {
        "median": statistics.median(f / p for f, p in zip(taken["fused"], taken["plain"], strict=True))
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--out", type=Path, default=RESULTS)
    settings = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vit, pixels = vision.load_model("numbers"), torch.randn(64, 3, 32, 32)
    labels = torch.randint(10, (64,))
    llama, tokens = load_pair(LANGUAGE)[0], torch.randint(4, 1000, (16, 64))
    lines = [
        "| model | batch | plain step | with the fused penalty | in the loss, through autograd |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, batch, model, loss in (
        ("ViT", "64 pictures", vit, lambda: vit(pixel_values=pixels, labels=labels).loss),
        ("Llama", "16 x 64 tokens", llama, lambda: llama(input_ids=tokens, labels=tokens).loss),
    ):
        found = measure(model, loss, settings.rounds)
        plain, fused, graph = (1000 * found[how] for how in ("plain", "fused", "autograd"))
        lines.append(
            f"| {name} | {batch} | {plain:.1f} ms | {fused:.1f} ms, {100 * (fused / plain - 1):+.1f} % "
            f"(median of pairs {100 * (found['median'] - 1):+.1f} %) "
            f"| {graph:.1f} ms, {100 * (graph / plain - 1):+.1f} % |"
        )
        print(lines[-1], flush=True)
    settings.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
