"""Train the zoo again from nothing: `make zoo`, or `python -m space.zoo.train [--out FOLDER] [FAMILY ...]`.

Families are trained two at a time, one thread each. A run that was stopped goes on where it was: finished models are
kept, and the one at hand is saved every hundred steps.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import click
import torch

from space.zoo.family import Family, Progress

ZOO = Path(__file__).resolve().parent
FAMILIES = ("images", "language", "gemma", "vision")  # the longest first
_TELL_EVERY_S = 30.0

_log = logging.getLogger(__name__)


@click.command()
@click.argument("families", nargs=-1, type=click.Choice(FAMILIES), metavar="[FAMILY]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=ZOO,
    help="Folder for FAMILY/weights and FAMILY/results.json; models that are there are kept. Default: here.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Families at a time.")
def main(families: tuple[str, ...], out: Path, workers: int) -> None:
    """Train the FAMILIES named, or all, measure them and say how long it took."""
    start = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(train_family, name, out) for name in families or FAMILIES]:
            done.result()
    print(f"Done in {(time.monotonic() - start) / 60:.0f} min.")


def family(name: str) -> Family:
    """Return the family of this name."""
    chosen: Family = import_module(f"space.zoo.{name}.train").FAMILY
    return chosen


def train_family(name: str, out: Path) -> None:
    """Train and measure one family with one thread."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    family(name).train(out / name / "weights", watch=lambda model, steps: teller(f"{name}/{model}", steps))
    measure_family(name, out)
    _log.info("%s: measured, %s", name, out / name / "results.json")


def measure_family(name: str, out: Path) -> None:
    """Measure the models in FAMILY/weights and write FAMILY/results.json."""
    results = family(name).measure(out / name / "weights")
    (out / name / "results.json").write_text(json.dumps(results, indent=2) + "\n")


def teller(title: str, steps: int) -> Progress:
    """Return a function that logs a line now and then."""
    told = 0.0

    def tell(done: int, loss: float) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S or done == steps:
            told = time.monotonic()
            _log.info("%-20s step %5d of %d, loss %.3f", title, done, steps, loss)

    return tell


if __name__ == "__main__":
    main()
