"""`mergeguard classify`: a thin caller of `mergeguard_hub.fingerprint`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergeguard_hub.cli.lists import ListCommand
from mergeguard_hub.cli.options import json_option, quiet_option
from mergeguard_hub.cli.output import one_line, print_json, print_table, say
from mergeguard_hub.cli.root import main

if TYPE_CHECKING:
    from mergeguard_hub.fingerprint import Placement


@main.command(cls=ListCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--bases", multiple=True, required=True, metavar="BASE...", help="The base models to choose from.")
@click.option(
    "--method",
    type=click.Choice(["invariant", "tensorguard"]),
    default="invariant",
    show_default=True,
    help="How models are described.",
)
@json_option
@quiet_option
def classify(paths: tuple[str, ...], bases: tuple[str, ...], method: str, as_json: bool, quiet: bool) -> None:
    """Say which base model each PATH is a derivative of.

    With the invariant fingerprint a PATH or BASE may also be a file that `mergeguard fingerprint` wrote, and a model
    may descend from none of the bases. TensorGuard (arXiv 2506.01631) always names one; it sees shapes rather than
    weights.
    """
    from mergeguard_hub.fingerprint import METHODS

    still = quiet or as_json or not sys.stderr.isatty()
    found = METHODS[method](_folders(paths, "PATH", still=still), _folders(bases, "--bases", still=still))
    if as_json:
        models = {
            path: {"base": placed.base, "scores": dict(placed.scores), "p_value": placed.p_value}
            for path, placed in found.items()
        }
        print_json({"method": method, "bases": list(bases), "models": models})
    elif quiet:
        say(*(f"{path}: {placed.base or 'none'}" for path, placed in found.items()))
    else:
        _show(found, method)


def _folders(sources: Sequence[str], name: str, *, still: bool) -> dict[str, Path]:
    from mergeguard_hub.hub.source import local_folder

    twice = sorted({source for source in sources if sources.count(source) > 1})
    if twice:
        raise click.BadParameter(f"{twice[0]} is given more than once.", param_hint=name)
    return {source: local_folder(source, quiet=still) for source in sources}


def _show(found: Mapping[str, Placement], method: str) -> None:
    measure = "likeness" if method == "invariant" else "distance"
    rows = []
    for path, placed in found.items():
        ranked = sorted(placed.scores.values(), reverse=method == "invariant")
        numbers = [f"{score:.3f}" for score in (*ranked[:2],)] + ["-"] * (2 - len(ranked))
        chance = "-" if placed.p_value is None else f"{placed.p_value:.1e}"
        rows.append((one_line(path), one_line(placed.base or "none of them"), *numbers, chance))
    titles = ("model", "derivative of", measure, "of the next base", "p-value")
    if method == "invariant":
        print_table(titles, rows, numbers=(2, 3, 4))
    else:
        print_table(titles[:-1], [row[:-1] for row in rows], numbers=(2, 3))
