"""Train the zoo's hardened releases again: `python -m space.zoo.harden [--out FOLDER] [FAMILY ...]`.

Each goes on from a finished fine-tune, which must be there, and is kept beside it, as `FAMILY/weights/MODEL-hardened`.
`python -m benchmarks.hardened` audits them.
"""

from __future__ import annotations

import logging
from pathlib import Path

import click
import torch

from space.zoo.hardened import FAMILIES, SHIPPED, hardened_model
from space.zoo.train import ZOO, teller


@click.command()
@click.argument("families", nargs=-1, type=click.Choice(FAMILIES), metavar="[FAMILY]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=ZOO,
    help="Folder with FAMILY/weights; releases that are there are kept. Default: here.",
)
def main(families: tuple[str, ...], out: Path) -> None:
    """Train the releases of the FAMILIES named, or those that the zoo has room for."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    for name in families or SHIPPED:
        hardened_model(name).trainer.train(
            out / name / "weights", watch=lambda model, steps, name=name: teller(f"{name}/{model}", steps)
        )


if __name__ == "__main__":
    main()
