"""What one rounding of transformed weights costs: `python -m benchmarks.rounding`.

A pair of matrices is transformed as one head is (keys by M, queries by M^-T), computed in float64, rounded once to each
dtype, and multiplied again. Printed is the relative Frobenius error of the product, which algebra leaves unchanged. The
transforms are the stages' own draws, so the table holds for what is shipped. Writes benchmarks/results/rounding.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mergeguard_hub.architecture.action import Action, Mix, Plan
from mergeguard_hub.architecture.space import CLAIMS, Port, Space, rows
from mergeguard_hub.protection import Facts, HeadMix, HeadScaling, Key
from mergeguard_hub.protection.draws import draw_moves, log_uniform

HEAD, WIDTH = 64, 1024
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
RESULT = Path(__file__).resolve().parent / "results" / "rounding.md"


def space() -> Space:
    """Return the query-key space of one head without rotary embeddings."""
    ports = (Port("k", 0, rows(0, HEAD), scale=1), Port("q", 0, rows(0, HEAD), scale=-1))
    return Space("head/keys.0", "query_key", HEAD, ports, frozenset(CLAIMS))


def transforms(head: Space) -> dict[str, Action | None]:
    """Return label -> action, drawn as the stages draw them, from a fixed key."""
    stream = Key(bytes(range(32))).stream
    facts = Facts({"k": "F32", "q": "F32"})
    found: dict[str, Action | None] = {
        "none: rounding alone": None,
        "signed permutation": draw_moves(head, stream("a"), permute=True, sign=True, bound=0),
        "powers of two, 2^-4 to 2^4": draw_moves(head, stream("b"), permute=False, sign=False, bound=4),
        "PaRaMS, one factor per dimension, U(0.05, 20)": HeadScaling().draw(head, stream("c"), facts),
        "Haar rotation": HeadMix(kind="orthogonal").draw(head, stream("d"), facts),
    }
    for condition in (2, 16, 256, 10000):
        stage = HeadMix(kind="invertible", max_condition=float(condition))
        found[f"invertible as drawn here: factors after the rotation, at most {condition}"] = stage.draw(
            head, stream("e"), facts
        )
    for condition in (2, 16, 256):
        spread = log_uniform(stream("f"), HEAD, condition)[:, None]
        found[f"general invertible: rotation, factors, rotation, at most {condition}"] = Mix(
            stream("g").orthogonal(HEAD) @ (spread * stream("h").orthogonal(HEAD))
        )
    return found


def product_error(head: Space, action: Action | None, dtype: torch.dtype) -> float:
    """Return the relative error of k^T q after one rounding of the transformed weights."""
    generator = torch.Generator().manual_seed(0)
    weights = {name: 0.02 * torch.randn(HEAD, WIDTH, generator=generator, dtype=torch.float64) for name in ("k", "q")}
    weights = {name: tensor.to(dtype).double() for name, tensor in weights.items()} if action else weights
    plan = Plan(dict.fromkeys(weights, (HEAD, WIDTH)))
    if action is not None:
        plan.add(head, action)
    stored = {name: plan.apply(name, tensor).to(dtype).double() for name, tensor in weights.items()}
    before, after = weights["k"].T @ weights["q"], stored["k"].T @ stored["q"]
    return float((after - before).norm() / before.norm())


def condition_of(action: Action | None) -> float:
    """Return the condition number of an action's matrix."""
    if action is None:
        return 1.0
    return float(
        np.linalg.cond(action.matrix) if isinstance(action, Mix) else action.scales.max() / action.scales.min()
    )


def table() -> str:
    """Return the table as Markdown."""
    head = space()
    lines = ["| transform | condition number | " + " | ".join(DTYPES) + " |", "|---|---|" + "---|" * len(DTYPES)]
    for label, action in transforms(head).items():
        errors = " | ".join(f"{product_error(head, action, dtype):.1e}" for dtype in DTYPES.values())
        lines.append(f"| {label} | {condition_of(action):.0f} | {errors} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table and write it down."""
    text = table()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
