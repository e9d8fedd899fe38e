"""Time and memory of protecting a large sharded checkpoint, beside plain copies: `python -m benchmarks.protect`.

A random Llama is written to a scratch folder, and every way is run several times in turn, each in a process of its own.
Writes benchmarks/results/benchmark.md. `--gigabytes 0.2 --runs 1` is a quick look.
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
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.one_run import READ_AND_SAVE
from benchmarks.random_llama import random_llama
from mergeguard_hub.release.proof_cache import OVERRIDE

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "benchmark.md"
COPY, SYNCED = "`cp -r`", "`cp -r`, then fsync of every file"
PARTS = ("prove", "measure", "draw", "write", "verify", "fsync")


@dataclass(frozen=True)
class Way:
    """One way from a source to a target.

    Attributes:
        label: as shown.
        how: "cp", or what `benchmarks.one_run` takes.
        workers: threads.
        verify: whether blocks are compared before the target appears.
        sync: whether to wait for the disk after a `cp`.
        first: whether nothing was proved about the class before.
    """

    label: str
    how: str
    workers: int = 1
    verify: bool = True
    sync: bool = False
    first: bool = False


@dataclass
class Runs:
    """What was measured of one way, run by run."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    anonymous_mb: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)

    def part(self, name: str) -> float:
        """Return the median seconds of one part."""
        return statistics.median(parts.get(name, 0.0) for parts in self.parts)

    @property
    def median(self) -> float:
        """The median wall time."""
        return statistics.median(self.wall_s)


def ways(presets: Sequence[str], workers: Sequence[int]) -> list[Way]:
    """Return everything that is compared, in the order of the table."""
    found = [Way(COPY, "cp"), Way(SYNCED, "cp", sync=True), Way("safetensors: read, `save_file`", READ_AND_SAVE)]
    for preset in presets:
        for count in workers:
            threads = f"{count} worker{'s' if count > 1 else ''}"
            found.append(Way(f"{preset}, {threads}", preset, count))
        found.append(Way(f"{preset}, {threads}, verification off", preset, count, verify=False))
        found.append(Way(f"{preset}, {threads}, first of its class", preset, count, first=True))
    return found


def run(way: Way, source: Path, target: Path) -> dict[str, Any]:
    """Go one way once, into a target that is removed again; dirty pages of the run before do not count.

    Proofs are kept beside the target, so that every run but the first of a class finds one.
    """
    os.sync()
    try:
        if way.how == "cp":
            return copied(source, target, sync=way.sync)
        command = [sys.executable, "-m", "benchmarks.one_run", str(source), str(target), "--how", way.how]
        command += ["--workers", str(way.workers), *([] if way.verify else ["--no-verify"])]
        settings = {**os.environ, OVERRIDE: "off" if way.first else str(target.parent / "proofs")}
        done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way.label} failed:\n{done.stderr}")
        return dict(json.loads(done.stdout.splitlines()[-1]))
    finally:
        shutil.rmtree(target, ignore_errors=True)


def copied(source: Path, target: Path, *, sync: bool) -> dict[str, Any]:
    """Run `cp -r` and, if asked, wait until every file is on the disk."""
    start, used = time.perf_counter(), os.times()
    subprocess.run(["cp", "-r", source, target], check=True)
    for path in [*target.iterdir(), target] if sync else ():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return {"wall_s": time.perf_counter() - start, "cpu_s": sum(os.times()[:4]) - sum(used[:4])}


def table(found: dict[Way, Runs]) -> str:
    """Return wall times, their ratio to the copies, processor time and memory as Markdown."""
    copies = {way.sync: runs.median for way, runs in found.items() if way.how == "cp"}
    lines = [
        "| | s, least | s, median | s, most | x `cp -r` | x `cp -r` and fsync | CPU s | anonymous MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for way, runs in found.items():
        wall = " | ".join(f"{f(runs.wall_s):.2f}" for f in (min, statistics.median, max))
        ratios = " | ".join(f"{runs.median / copies[sync]:.1f}" for sync in (False, True))
        memory = f"{max(runs.anonymous_mb):.0f}" if runs.anonymous_mb else ""
        lines.append(f"| {way.label} | {wall} | {ratios} | {statistics.median(runs.cpu_s):.1f} | {memory} |")
    return "\n".join(lines)


def breakdown(found: dict[Way, Runs]) -> str:
    """Return where the median run's seconds go as Markdown."""
    lines = [
        "| | prove | measure | draw | write | of it digest | verify | wait for the disk | rest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way, runs in found.items():
        if not runs.parts:
            continue
        seconds = {part: runs.part(part) for part in (*PARTS, "digest")}
        rest = max(0.0, runs.median - sum(seconds[part] for part in PARTS))
        shown = [*(seconds[part] for part in ("prove", "measure", "draw", "write", "digest", "verify", "fsync")), rest]
        lines.append(f"| {way.label} | " + " | ".join(f"{value:.2f}" for value in shown) + " |")
    return "\n".join(lines)


def report(found: dict[Way, Runs], weights: int, loads: tuple[float, float]) -> str:
    """Return the whole text."""
    count = len(next(iter(found.values())).wall_s)
    facts = (
        f"Random Llama, {weights / 1e6:,.0f}M bfloat16 weights ({2 * weights / 1e9:.2f} GB) in 4 files, page cache "
        f"warm; {count} runs of each in turn; {os.cpu_count()} processors ({platform.machine()}), load average "
        f"{loads[0]:.1f} before and {loads[1]:.1f} after; torch {torch.__version__}, one thread per worker. Every "
        "protected run hashes what it writes and waits for the disk; `cp -r` and the safetensors loop do neither. "
        "The class was proved by an earlier run, except where it says first. Imports are not timed. "
        "Anonymous memory is the highest seen beyond an interpreter with torch loaded."
    )
    return f"{facts}\n\n{table(found)}\n\nWhere the seconds go, medians:\n\n{breakdown(found)}\n"


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["exact", "mergelock"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--scratch", type=Path, help="folder on the disk to measure; a temporary one if left out")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    found = {way: Runs() for way in ways(options.presets, options.workers)}
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mergeguard-benchmark-", dir=options.scratch) as place:
        source = Path(place) / "source"
        weights = random_llama(source, gigabytes=options.gigabytes)
        run(Way(COPY, "cp"), source, Path(place) / "warm")
        run(Way("warm", options.presets[0]), source, Path(place) / "warm")
        for number in range(options.runs):
            for way, runs in found.items():
                measured = run(way, source, Path(place) / "target")
                print(
                    f"{number + 1}/{options.runs} {way.label}: {measured['wall_s']:.2f} s", file=sys.stderr, flush=True
                )
                runs.wall_s.append(measured["wall_s"])
                runs.cpu_s.append(measured["cpu_s"])
                runs.anonymous_mb += [measured["anonymous_mb"]] if "anonymous_mb" in measured else []
                runs.parts += [measured["parts"]] if "parts" in measured else []
    text = report(found, weights, (load_before, os.getloadavg()[0]))
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
