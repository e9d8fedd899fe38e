"""`mergeguard negate`: a thin caller of MergeGuard's stage 2 on folders."""

from __future__ import annotations

from pathlib import Path

import click

from mergeguard_hub.cli.options import FILE, NEW_FOLDER, json_option, quiet_option
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.root import main

# Torch is imported inside the command, so that --help answers at once.


@main.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST", type=NEW_FOLDER)
@click.option("--base", metavar="BASE", required=True, help="The base model that SRC was fine-tuned from.")
@click.option("--ranking", type=FILE, help="Which layers are critical, measured on samples; see docs/mergeguard.md.")
@click.option("--k", type=float, default=0.1, show_default=True, help="Fraction of each other tensor that is negated.")
@click.option("--critical", type=float, default=0.1, show_default=True, help="Fraction of the layers that stay whole.")
@click.option("--beta", type=float, default=1.0, show_default=True, help="1 sets weights to the base's.")
@click.option(
    "--granularity",
    type=click.Choice(["tensor", "block"]),
    help="What is ranked where no --ranking is given; tensor by default.",
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave matching tensors alone; may be given again.")
@json_option
@quiet_option
def negate(
    source: str,
    target: Path,
    base: str,
    ranking: Path | None,
    k: float,
    critical: float,
    beta: float,
    granularity: str | None,
    exclude: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Write SRC with the largest part of what fine-tuning changed set back to BASE: stage 2 of MergeGuard.

    There is no way back, and no key: keep SRC. The model answers a little worse, so measure DST before you publish it.
    `mergeguard protect` goes on top of DST, not under it.
    """
    from mergeguard_hub.hub.source import local_folder
    from mergeguard_hub.training import Criticality, Negation, negate_folder

    settings = Negation(k=k, beta=beta, critical=critical, granularity=granularity)  # type: ignore[arg-type]
    known = None if ranking is None else Criticality.read(ranking)
    folder, reference = (local_folder(place, quiet=quiet or as_json) for place in (source, base))
    done = negate_folder(folder, reference, target, negation=settings, criticality=known, exclude=exclude)
    methods = sorted({ranked.method for ranked in done.ranking.values()})
    kept = {component or ".": list(layers) for component, layers in done.kept.items()}
    if as_json:
        left = {component or ".": list(names) for component, names in done.excluded.items()}
        print_json({"target": str(target), "negated": done.negated, "kept": kept, "excluded": left, "ranking": methods})
    elif not quiet:
        count = sum(len(layers) for layers in kept.values())
        say(f"{target}: {done.negated:.1%} of the weights were negated, {count} critical layers stay whole.")
        if methods == ["data-free"]:
            say("The layers were ranked without samples of the task, which finds few of those that matter.")
        say("This cannot be undone: keep SRC. Measure what DST does alone before you publish it.")
