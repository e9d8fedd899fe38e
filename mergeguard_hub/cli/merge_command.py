"""`mergeguard merge`: a thin caller of `mergeguard_hub.merging`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mergeguard_hub.cli.lists import ListCommand
from mergeguard_hub.cli.options import base_option, json_option, quiet_option, workers_option
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.progress import progress_bars
from mergeguard_hub.cli.root import main
from mergeguard_hub.errors import MergeError

if TYPE_CHECKING:  # torch is imported inside the command, so that --help answers at once
    from mergeguard_hub.merging import MergeMethod
    from mergeguard_hub.merging.mergekit_config import MergePlan


@main.command(cls=ListCommand)
@click.argument("paths", metavar="[CONFIG.yml] DST", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", help="weight_averaging, task_arithmetic, ties, dare, ...; a wrong name lists them all.")
@base_option
@click.option("--models", multiple=True, metavar="MODEL...", help="The fine-tuned models.")
@click.option("--weights", multiple=True, type=float, metavar="NUMBER...", help="Coefficient of each model.")
@click.option("--density", type=float, help="Fraction of each task vector that is kept.")
@click.option("--scale", type=float, help="Factor on the merged task vector.")
@click.option("--t", type=float, help="SLERP: where between the first model (0) and the second (1).")
@click.option("--set", "others", multiple=True, metavar="NAME=VALUE", help="Any other setting, its value as JSON.")
@click.option("--force", is_flag=True, help="Merge other architectures, vocabularies and releases too.")
@workers_option
@json_option
@quiet_option
def merge(
    paths: tuple[Path, ...],
    method: str | None,
    base: str | None,
    models: tuple[str, ...],
    force: bool,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Merge fine-tuned models of one base model into the new folder DST.

    mergeguard merge --method ties --base B --models A C --density 0.2 DST

    CONFIG.yml is a configuration of mergekit, in place of --method, --base, --models and settings. Everything in DST
    but weights is the base's. Models that do not fit together are refused.
    """
    from mergeguard_hub.hub.source import local_folder
    from mergeguard_hub.merging import merge_folders
    from mergeguard_hub.release import Progress

    plan = _plan(paths, method, base, models, settings)
    still = quiet or as_json or not sys.stderr.isatty()
    folders = [local_folder(source, quiet=still) for source in (plan.base, *plan.models)]
    plan.check_dtype(folders[0])
    with progress_bars(quiet=quiet) as bars:
        done = merge_folders(
            plan.method,
            base=folders[0],
            models=folders[1:],
            target=paths[-1],
            workers=workers,
            force=force,
            progress=None if bars is None else lambda *step: bars(Progress(*step)),
        )
    if as_json:
        print_json({"target": str(done.target), "method": done.method, "tensors": done.tensors, "bytes": done.nbytes})
    elif not quiet:
        say(f"{done.target}: {len(plan.models)} models merged by {done.method}, {done.tensors} tensors.")


def _plan(
    paths: Sequence[Path], method: str | None, base: str | None, models: tuple[str, ...], settings: dict[str, Any]
) -> MergePlan:
    from mergeguard_hub.merging.mergekit_config import MergePlan, read_mergekit_config

    given = [f"--{name}" for name, value in {"method": method, "base": base, "models": models}.items() if value]
    given += [f"--{'set' if name == 'others' else name}" for name, value in settings.items() if value not in (None, ())]
    if len(paths) == 2:
        if given:
            raise click.UsageError(f"{paths[0]} says it all, so {given[0]} cannot be given as well.")
        return read_mergekit_config(paths[0])
    if len(paths) != 1:
        raise click.UsageError(f"Got {len(paths)} paths: give DST alone, or CONFIG.yml and DST.")
    if method is None or not models:
        raise click.UsageError("Give --method and --models, or the path of a mergekit configuration before DST.")
    chosen = _method(method, settings)
    if base is None and chosen.needs_base:
        raise click.UsageError(f"{chosen.title} needs the base model: give --base.")
    return MergePlan(chosen, base if base is not None else models[0], models)


def _method(name: str, settings: dict[str, Any]) -> MergeMethod:
    from mergeguard_hub.merging import MERGE_METHODS

    found = MERGE_METHODS.get(name.replace("-", "_"))
    if found is None:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(MERGE_METHODS)}.", param_hint="--method")
    values = {key: value for key, value in settings.items() if key != "others" and value not in (None, ())}
    for text in settings["others"]:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} has no '='; write NAME=VALUE.", param_hint="--set")
        values[key.replace("-", "_")] = _parsed(value)
    known = [field.name for field in fields(found)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise MergeError(f"{found.title} has no setting {key!r}; it has {', '.join(known) or 'none'}.")
    return found(**values)


def _parsed(value: str) -> Any:
    try:
        content = json.loads(value)
    except ValueError:
        return value  # a word needs no quotes
    return tuple(content) if isinstance(content, list) else content
