"""How fast a large checkpoint is fingerprinted, beside reading it: `python -m benchmarks.fingerprint_speed`.

A random Llama of the widths of Llama-2-7B is written to a scratch folder, about 2 GB in bfloat16, and every way is run
several times in turn, each in a process of its own, on one thread. "From the disk" drops the files from the page cache
first. Writes benchmarks/results/fingerprint-speed.md. `--gigabytes 1 --runs 1` is a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.one_run import held_mb, watched
from benchmarks.random_llama import LLAMA_7B, random_llama

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "fingerprint-speed.md"
WAYS = {
    "sum": "reading: sum of all bytes",
    "digest": "reading: SHA-256 of all bytes",
    "fingerprint": "fingerprint",
}


def drop(folder: Path) -> None:
    """Have the system forget the contents of a folder's files."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def once(folder: Path, way: str) -> dict[str, Any]:
    """Go one way in this process; the architecture is proved before the clock starts, as it is once for each class."""
    import numpy as np
    import torch

    from mergeguard_hub.checkpoint import Checkpoint
    from mergeguard_hub.fingerprint.reading import fingerprint_weights, layout_of

    torch.set_num_threads(1)
    checkpoint = Checkpoint.open(folder)
    layout = layout_of(checkpoint)[0] if way == "fingerprint" else None
    found: dict[str, Any] = {"bytes": checkpoint.nbytes, "layers": len(layout.mlps) if layout else 0}
    with watched(found, held_mb()):
        if way == "sum":
            for name in checkpoint.entries:
                np.frombuffer(checkpoint.raw(name), dtype=np.uint64).sum()
        elif way == "digest":
            checkpoint.digest()
        elif layout is not None:
            forms, spectra = fingerprint_weights(checkpoint, layout)
            found["numbers"] = sum(form.values.size for form in [*forms, *spectra])
    return found


def table(runs: dict[tuple[str, bool], list[dict[str, Any]]]) -> str:
    """Return medians as Markdown, and the processor time of both ways of reading as multiples of each way's own."""
    head = "| | weights from | s | processor s | GB per processor s | x sum | x SHA-256 | anonymous MB, most |"
    lines = [head, "|---|---|---:|---:|---:|---:|---:|---:|"]
    seconds = {key: statistics.median(run["cpu_s"] for run in found) for key, found in runs.items()}
    for (way, cold), found in runs.items():
        own, wall = seconds[way, cold], statistics.median(run["wall_s"] for run in found)
        ratios = " | ".join(f"{seconds[other, cold] / own:.2f}" for other in ("sum", "digest"))
        memory = max(run["anonymous_mb"] for run in found)
        place = "the disk" if cold else "memory"
        speed = found[0]["bytes"] / 1e9 / own
        lines.append(f"| {WAYS[way]} | {place} | {wall:.2f} | {own:.2f} | {speed:.2f} | {ratios} | {memory:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="folder for the checkpoint; removed afterwards")
    parser.add_argument("--once", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="a checkpoint that is there already")
    chosen = parser.parse_args()
    if chosen.once:
        print(json.dumps(once(chosen.folder, chosen.once)))
        return
    runs: dict[tuple[str, bool], list[dict[str, Any]]] = {(way, cold): [] for cold in (True, False) for way in WAYS}
    with tempfile.TemporaryDirectory(dir=chosen.scratch, prefix="mergeguard-fingerprint-") as scratch:
        folder = chosen.folder or Path(scratch) / "model"
        if chosen.folder is None:
            random_llama(folder, gigabytes=chosen.gigabytes, widths=LLAMA_7B)
        for _ in range(chosen.runs):
            for way, cold in runs:
                if cold:
                    drop(folder)
                command = [sys.executable, "-m", "benchmarks.fingerprint_speed", "--once", way, "--folder", folder]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
                runs[way, cold].append(json.loads(done.stdout.splitlines()[-1]))
    first = runs["fingerprint", False][0]
    numbers = first["numbers"]
    note = (
        f"{first['bytes'] / 1e9:.1f} GB in bfloat16, {first['layers']} layers of Llama-2-7B's widths, {numbers:,} "
        f"numbers in the fingerprint. One thread, medians of {chosen.runs}. Multiples are of processor time, which "
        "other work on the machine disturbs less: 1 is as fast as that way of reading, 0.5 half as fast."
    )
    text = f"{table(runs)}\n\n{note}\n"
    print(text)
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
