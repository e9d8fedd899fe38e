"""Time and memory of merging two checkpoints by task arithmetic, ours beside mergekit: `python -m benchmarks.merge`.

Needs mergekit's environment: `make mergekit`, and MERGEGUARD_MERGEKIT_PYTHON as the Makefile sets it. Every way is a
process of its own, run several times in turn. Writes benchmarks/results/merge.md. `--gigabytes 0.2 --runs 1` is a quick
look.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.random_llama import random_llama

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "merge.md"
SAMPLE_S = 0.005
SCALE = 0.5
CHANGE = 0.002  # standard deviation of a task vector, a tenth of the weights'
COPY, ONE, OURS, THEIRS = (
    "`cp -r` of one model",
    "mergeguard merge, 1 worker",
    "mergeguard merge, as it comes",
    "mergekit-yaml, 500 MB shards",
)


@dataclass(frozen=True)
class Way:
    """A command that merges.

    Attributes:
        command: what is run; TARGET stands for the folder.
        startup: the same program doing nothing, so that its imports can be told from its work; () for none.
    """

    command: tuple[str, ...]
    startup: tuple[str, ...] = ()


@dataclass
class Runs:
    """What was measured of one way, run by run: seconds, and megabytes (10^6 bytes) of memory at their highest."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    anonymous_mb: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    startup_s: list[float] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """The median wall time."""
        return statistics.median(self.wall_s)

    @property
    def work(self) -> float:
        """The median wall time without start-up."""
        return self.wall - (statistics.median(self.startup_s) if self.startup_s else 0.0)

    @property
    def peak(self) -> float:
        """The highest anonymous memory of any run."""
        return max(self.anonymous_mb)


def ways(base: Path, models: Sequence[Path], config: Path, mergekit: Path) -> dict[str, Way]:
    """Return everything that is compared, in the order of the table."""
    ours = [sys.executable, "-m", "mergeguard_hub.cli", "merge", "--method", "task_arithmetic", "--base", str(base)]
    ours += ["--models", *map(str, models), "--scale", str(SCALE), "--quiet"]
    nothing = (sys.executable, "-c", "import mergeguard_hub.merging, mergeguard_hub.release")
    theirs = (str(mergekit), str(config), "TARGET", "--quiet")
    return {
        COPY: Way(("cp", "-r", str(base), "TARGET")),
        ONE: Way((*ours, "--workers", "1", "TARGET"), nothing),
        OURS: Way((*ours, "TARGET"), nothing),
        "mergekit-yaml, its one large shard": Way(theirs, (str(mergekit), "--help")),
        THEIRS: Way((*theirs, "--out-shard-size", "500M"), (str(mergekit), "--help")),
    }


def run(command: Sequence[str], found: Runs) -> None:
    """Run a command to its end, and note its time and, as long as it lives, its memory."""
    os.sync()
    start = time.perf_counter()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.stderr.read() if process.stderr else ""))
    reader.start()
    peak = 0.0
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        peak = max(peak, anonymous_mb(process.pid))
        time.sleep(SAMPLE_S)
    found.wall_s.append(time.perf_counter() - start)
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{''.join(said)}")
    found.cpu_s.append(usage.ru_utime + usage.ru_stime)
    found.anonymous_mb.append(peak)
    found.resident_mb.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def anonymous_mb(pid: int) -> float:
    """Return the memory of a process that is no file's; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("RssAnon")), 0.0)


def write_models(place: Path, gigabytes: float) -> tuple[Path, list[Path], int]:
    """Write a base model and two fine-tuned ones; return them and the number of weights of each."""
    weights = random_llama(place / "base", gigabytes=gigabytes, shards=4 if gigabytes > 1 else 2)
    models = [moved(place / "base", place / f"model{seed}", seed) for seed in (1, 2)]
    return place / "base", models, weights


def moved(base: Path, folder: Path, seed: int) -> Path:
    """Write a copy of a model with every weight moved a little, shard by shard."""
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir()
    for path in sorted(base.iterdir()):
        if path.suffix != ".safetensors":
            shutil.copyfile(path, folder / path.name)
            continue
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
        for tensor in tensors.values():
            tensor += (CHANGE * torch.randn(tensor.shape, generator=generator)).to(tensor.dtype)
        save_file(tensors, folder / path.name, metadata={"format": "pt"})
    return folder


def table(found: dict[str, Runs], nbytes: int) -> str:
    """Return times, throughput and memory as Markdown."""
    lines = [
        "| | s, least | s, median | s, most | of it start-up | MB/s | MB/s without start-up | CPU s | anonymous MB | "
        "resident MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for label, runs in found.items():
        wall = " | ".join(f"{value(runs.wall_s):.2f}" for value in (min, statistics.median, max))
        speed = " | ".join(f"{nbytes / 1e6 / seconds:.0f}" for seconds in (runs.wall, max(runs.work, 1e-9)))
        lines.append(
            f"| {label} | {wall} | {runs.wall - runs.work:.2f} | {speed} | {statistics.median(runs.cpu_s):.1f} | "
            f"{runs.peak:.0f} | {max(runs.resident_mb):.0f} |"
        )
    return "\n".join(lines)


def report(found: dict[str, Runs], weights: int, loads: tuple[float, float]) -> str:
    """Return the whole text."""
    count = len(found[COPY].wall_s)
    ours, theirs = found[OURS], found[THEIRS]
    files = 4 if weights > 5e8 else 2
    facts = (
        f"Base and two models, random Llamas of {weights / 1e6:,.0f}M bfloat16 weights ({2 * weights / 1e9:.2f} GB "
        f"each) in {files} files, page cache warm; task arithmetic; {count} runs of each in turn; {os.cpu_count()} "
        f"processors ({platform.machine()}), load average {loads[0]:.1f} before and {loads[1]:.1f} after; torch "
        f"{torch.__version__}. MB/s is the size of one model over the median time. Ours checks every weight for NaN "
        "and waits for the disk; `cp` and mergekit do neither. Resident memory counts pages of mapped files, which the "
        "system takes back when it needs them; anonymous memory does not."
    )
    one = found[ONE]
    verdict = (
        f"As it comes (one worker per processor, four at most), {theirs.wall / ours.wall:.1f} times the throughput of "
        f"mergekit at its best ({theirs.work / ours.work:.1f} times without start-up) in {ours.peak / theirs.peak:.2f} "
        f"of its anonymous memory; aimed at: 2 times, 0.25. Both use every processor. With one worker "
        f"{theirs.wall / one.wall:.1f} times ({theirs.work / one.work:.1f} without start-up)."
    )
    return f"{facts}\n\n{table(found, 2 * weights)}\n\n{verdict}\n"


def main() -> None:
    """Measure, print the report and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where to put the models, instead of the temporary folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    mergekit = Path(os.environ.get("MERGEGUARD_MERGEKIT_PYTHON", "none")).with_name("mergekit-yaml")
    if not mergekit.is_file():
        raise SystemExit("No mergekit: run `make mergekit`, and set MERGEGUARD_MERGEKIT_PYTHON to its interpreter.")
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        place = Path(scratch)
        base, models, weights = write_models(place, options.gigabytes)
        rows = [{"model": str(model), "parameters": {"weight": 1.0}} for model in models]
        config = {"merge_method": "task_arithmetic", "base_model": str(base), "models": rows, "dtype": "bfloat16"}
        (place / "config.yml").write_text(json.dumps({**config, "parameters": {"lambda": SCALE}}))  # JSON is YAML
        compared = ways(base, models, place / "config.yml", mergekit)
        found = {label: Runs() for label in compared}
        for number in range(options.runs):
            for label, way in compared.items():
                if way.startup:
                    idle = Runs()
                    run(way.startup, idle)
                    found[label].startup_s += idle.wall_s
                run([str(place / "target") if word == "TARGET" else word for word in way.command], found[label])
                shutil.rmtree(place / "target")
                print(
                    f"{number + 1}/{options.runs} {label}: {found[label].wall_s[-1]:.2f} s", file=sys.stderr, flush=True
                )
    text = report(found, weights, (load_before, os.getloadavg()[0]))
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
