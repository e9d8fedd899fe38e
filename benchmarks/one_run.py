"""One timed run in a process of its own, told as JSON: `python -m benchmarks.one_run SOURCE TARGET --how exact`.

What the interpreter holds once torch is loaded is the zero that memory is counted from. Imports are not timed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

SAMPLE_S = 0.01
READ_AND_SAVE = "safetensors"
# What takes the time of a part: module, and name in it.
PARTS: tuple[tuple[str, str, str], ...] = (
    ("prove", "mergeguard_hub.release.work", "study"),
    ("measure", "mergeguard_hub.release.work", "learn_facts"),
    ("draw", "mergeguard_hub.release.work", "draft"),
    ("write", "mergeguard_hub.release.work", "store"),
    ("digest", "mergeguard_hub.checkpoint.digest", "TensorDigest.update"),
    ("verify", "mergeguard_hub.release.work", "blocks_drift"),
    ("fsync", "mergeguard_hub.checkpoint.early_sync", "EarlySync.finish"),
    ("fsync", "mergeguard_hub.checkpoint.staged", "sync_tree"),
)


def held_mb() -> float:
    """Return the anonymous memory of this process; where the system does not tell it, the most it ever had in all."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:  # macOS, in bytes; counts mapped files too
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) * 1024 / 1e6


@contextmanager
def watched(found: dict[str, Any], before_mb: float) -> Iterator[None]:
    """Time the body, and sample memory meanwhile."""
    peak, stop = [held_mb()], threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            peak.append(max(peak.pop(), held_mb()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    start, used = time.perf_counter(), os.times()
    try:
        yield
    finally:
        found["wall_s"] = time.perf_counter() - start
        found["cpu_s"] = sum(os.times()[:2]) - sum(used[:2])
        stop.set()
        thread.join()
        found["anonymous_mb"] = max(peak[0], held_mb()) - before_mb


def timed_parts(seconds: dict[str, float]) -> None:
    """Have every function of `PARTS` add its wall time to `seconds`, over all threads."""
    lock = threading.Lock()

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **settings: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **settings)
            finally:
                with lock:
                    seconds[part] += time.perf_counter() - start

        return run

    for part, module, path in PARTS:
        *owners, name = path.split(".")
        holder: Any = importlib.import_module(module)
        for owner in owners:
            holder = getattr(holder, owner)
        setattr(holder, name, timed(part, getattr(holder, name)))


def read_and_save(source: Path, target: Path) -> None:
    """Do what a plain script does: read each file's tensors, save them, copy the rest."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.suffix != ".safetensors":
            shutil.copyfile(path, target / path.name)
            continue
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
        save_file(tensors, target / path.name, metadata={"format": "pt"})


def main() -> int:
    """Run once and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--how", required=True, help=f"a preset, or {READ_AND_SAVE}")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-verify", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    before_mb = held_mb()
    found: dict[str, Any] = {}
    if options.how == READ_AND_SAVE:
        import safetensors.torch  # noqa: F401 -- not timed

        with watched(found, before_mb):
            read_and_save(options.source, options.target)
    else:
        seconds: dict[str, float] = defaultdict(float)
        found["parts"] = seconds
        timed_parts(seconds)
        from transformers import LlamaForCausalLM  # noqa: F401 -- not timed

        from mergeguard_hub.protection import Key
        from mergeguard_hub.release import protect_folder

        key, settings = Key.generate(), {"workers": options.workers, "verify": not options.no_verify}
        with watched(found, before_mb):
            protect_folder(options.source, options.target, recipe=options.how, key=key, **settings)
        seconds["digest"] /= options.workers
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
