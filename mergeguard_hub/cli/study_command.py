"""`mergeguard study`: a thin caller of `mergeguard_hub.audit.study`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from mergeguard_hub.cli.lists import ListCommand
from mergeguard_hub.cli.options import json_option, quiet_option
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.progress import counting_bar
from mergeguard_hub.cli.root import main


@main.command(cls=ListCommand)
@click.option("--base", required=True, metavar="BASE", help="The base model.")
@click.option("--models", multiple=True, required=True, metavar="M...", help="Models fine-tuned from it.")
@click.option("--tasks", multiple=True, required=True, metavar="TASK...", help="As of `mergeguard audit`.")
@click.option("--releases", multiple=True, metavar="NAME=RELEASE...", help="Releases of some of the models.")
@click.option("--sizes", multiple=True, type=click.IntRange(min=1), metavar="N...", help="Models merged at a time.")
@click.option("--subsets", type=click.IntRange(min=1), default=15, show_default=True, help="Subsets of each size.")
@click.option("--limit", type=click.IntRange(min=0), default=0, show_default=True, help="Items per task; 0: all.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the subsets.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("study"), show_default=True)
@click.option("--workers", type=click.IntRange(min=1), show_default="one per processor", help="Processes.")
@json_option
@quiet_option
def study(
    base: str,
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    releases: tuple[str, ...],
    sizes: tuple[int, ...],
    subsets: int,
    limit: int,
    seed: int,
    out: Path,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Merge random subsets of fine-tuned models, and tell how often a merge beats the base.

    The protocol of arXiv 2511.21437, with its six methods. With --releases every subset is merged again with the
    releases in the places of the models that they were made from. Writes study.json and study.md into OUT.
    """
    from mergeguard_hub.audit.study import SIZES
    from mergeguard_hub.audit.study import study as carry_out
    from mergeguard_hub.audit.table import study_markdown
    from mergeguard_hub.hub.source import local_folder

    still = quiet or as_json or not sys.stderr.isatty()
    pairs = [text.partition("=") for text in releases]
    for name, equals, path in pairs:
        if not equals or not path:
            raise click.BadParameter(f"{name!r} is no NAME=RELEASE.", param_hint="--releases")
    folders = [local_folder(source, quiet=still) for source in (base, *models)]
    with counting_bar(hidden=still) as progress:
        found = carry_out(
            folders[0],
            models=folders[1:],
            tasks=tasks,
            work=out / "work",
            releases={name: local_folder(path, quiet=still) for name, _, path in pairs},
            subsets=subsets,
            limit=limit or None,
            seed=seed,
            workers=workers,
            progress=progress,
            sizes=sizes or SIZES,
        )
    (out / "study.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / "study.md").write_text(study_markdown(found), encoding="utf-8")
    if as_json:
        print_json(found)
    elif not quiet:
        say(f"{out / 'study.md'}: {len(found['rows'])} rows; {out / 'study.json'}: the same as JSON.")
