"""Measure what the private folder of a protected `save_pretrained` costs in time and disk, on a random Llama.

    python benchmarks/hook.py                 # 500 MB of float32 weights
    python benchmarks/hook.py --megabytes 2000 --shard 500MB

Prints one table. Disk is the largest number of bytes that the run's folders held at any moment, sampled every 5 ms.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

import mergeguard_hub.release
from mergeguard_hub.hub import enable
from mergeguard_hub.protection.key import Key

SAMPLE_S = 0.005
WIDTH = 1024


@dataclass
class Measured:
    """Seconds and bytes of one save."""

    wall_s: float = 0.0
    protect_s: float = 0.0
    private_bytes: int = 0
    total_bytes: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


def build(megabytes: int) -> LlamaForCausalLM:
    """Return a random float32 Llama of about that size."""
    layer = 4 * WIDTH * WIDTH + 3 * WIDTH * 4 * WIDTH + 2 * WIDTH
    vocabulary = 8000
    layers = max(1, round((megabytes * 1e6 / 4 - 2 * vocabulary * WIDTH) / layer))
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
    )
    return LlamaForCausalLM(config)


def held(folder: Path) -> int:
    """Return the bytes that the files below a folder have been given on disk."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # removed since it was listed
    return total


@contextmanager
def watched(private: Path, output: Path) -> Iterator[Measured]:
    """Time the body and sample the disk meanwhile."""
    found = Measured()

    def watch() -> None:
        while not found.stop.wait(SAMPLE_S):
            inside, outside = held(private), held(output)
            found.private_bytes = max(found.private_bytes, inside)
            found.total_bytes = max(found.total_bytes, inside + outside)

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    try:
        yield found
    finally:
        found.wall_s = time.perf_counter() - start
        found.stop.set()
        thread.join()


@contextmanager
def timed_protection(found: Measured) -> Iterator[None]:
    """Add up the seconds that `protect_folder` takes of the save."""
    original = mergeguard_hub.release.protect_folder

    def timed(*args: object, **kwargs: object) -> object:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)  # type: ignore[arg-type]
        finally:
            found.protect_s += time.perf_counter() - start

    mergeguard_hub.release.protect_folder = timed  # type: ignore[assignment]
    try:
        yield
    finally:
        mergeguard_hub.release.protect_folder = original


def measure(save: Callable[[Path], None], root: Path) -> Measured:
    """Run one save into a fresh folder and remove what it wrote."""
    private, output = root / "private", root / "runs"
    private.mkdir(exist_ok=True)
    output.mkdir()
    os.environ["MERGEGUARD_TMPDIR"] = str(private)
    with watched(private, output) as found, timed_protection(found):
        save(output / "model")
    shutil.rmtree(output)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--shard", default="50GB", help="max_shard_size")
    parser.add_argument("--presets", nargs="+", default=["exact", "mergelock"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    model = build(options.megabytes)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    rows: list[tuple[str, Measured]] = []
    key = Key.generate()
    with tempfile.TemporaryDirectory(prefix="mergeguard-benchmark-") as place:
        root = Path(place)
        measure(lambda folder: model.save_pretrained(folder, max_shard_size=options.shard), root)  # warm up
        plain = measure(lambda folder: model.save_pretrained(folder, max_shard_size=options.shard), root)
        rows.append(("plain save", plain))
        for preset in options.presets:
            enable(model, protection=preset, key=key)
            saved = measure(lambda folder: model.save_pretrained(folder, max_shard_size=options.shard), root)
            rows.append((f"protected, {preset}", saved))
    print(f"Llama, {weights / 1e6:,.0f} MB of float32 weights, one thread, torch {torch.__version__}\n")
    print("| save | seconds | x plain | of it protect_folder | of it raw save | disk, most at once | of it private |")
    print("|---|---|---|---|---|---|---|")
    for name, found in rows:
        print(
            f"| {name} | {found.wall_s:.2f} | {found.wall_s / plain.wall_s:.1f} | {found.protect_s:.2f} "
            f"| {found.wall_s - found.protect_s:.2f} | {found.total_bytes / 1e6:,.0f} MB "
            f"| {found.private_bytes / 1e6:,.0f} MB |"
        )


if __name__ == "__main__":
    main()
