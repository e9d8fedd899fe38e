"""`mergeguard fingerprint`, `compare` and `lineage`: thin callers of `mergeguard_hub.fingerprint`."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergeguard_hub.cli.lists import ListCommand
from mergeguard_hub.cli.options import FILE, json_option, quiet_option, read_passphrase
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.root import main

if TYPE_CHECKING:  # torch is imported inside the commands, so that --help answers at once
    from mergeguard_hub.fingerprint import Fingerprint, Lineage, Similarity

_KINSHIP = {
    "same": "the same model, up to the rounding of its weights",
    "related": "related: one descends from the other, both descend from a third, or one is merged into the other",
    "unrelated": "unrelated",
}

secret_option = click.option("--secret-file", type=FILE, help="File whose first line the probes are drawn with.")


@main.command()
@click.argument("path", metavar="PATH")
@click.option("-o", "--out", type=FILE, default=Path("fp.json"), show_default=True, help="File to write.")
@secret_option
@json_option
@quiet_option
def fingerprint(path: str, out: Path, secret_file: Path | None, as_json: bool, quiet: bool) -> None:
    """Write the fingerprint of the model PATH, by which it is known again without its weights.

    It holds about 3 kB of numbers for each layer and no weights. Releases have the fingerprint of their original. With
    a secret nobody knows what is measured, so nobody can spoil just that; only fingerprints of one secret compare.
    """
    found = fingerprint_of(path, quiet=quiet or as_json, secret=read_passphrase(secret_file))
    try:
        found.save(out)
    except OSError as error:
        raise click.FileError(str(out), hint=error.strerror) from error
    content = {"path": path, "out": str(out), "id": found.id, "forms": len(found.forms), "bytes": out.stat().st_size}
    if as_json:
        print_json({**content, "components": {name: asdict(part) for name, part in found.components.items()}})
    elif not quiet:
        say(f"{out}: fingerprint of {path}, {content['forms']} forms, {content['bytes']:,} bytes.", f"id  {found.id}")


@main.command()
@click.argument("one", metavar="A")
@click.argument("two", metavar="B")
@click.option("--plot", type=FILE, help="Also draw every layer of A against every layer of B, to this PNG file.")
@secret_option
@json_option
@quiet_option
def compare(one: str, two: str, plot: Path | None, secret_file: Path | None, as_json: bool, quiet: bool) -> None:
    """Say whether A and B are the same model, related, or unrelated, whatever protects either.

    A and B are folders, model ids on the Hub, or files that `mergeguard fingerprint` wrote.
    """
    from mergeguard_hub.fingerprint import compare as compared
    from mergeguard_hub.fingerprint import plot_layers

    secret = read_passphrase(secret_file)
    ours, theirs = (fingerprint_of(source, quiet=quiet or as_json, secret=secret) for source in (one, two))
    found = compared(ours, theirs)
    if plot is not None:
        plot_layers(ours, theirs, plot)
    if as_json:
        print_json({"a": one, "b": two, **asdict(found)})
    else:
        say(f"{one} and {two}: {_KINSHIP[found.kinship]}.")
        if not quiet:
            say(*described(found))


@main.command(cls=ListCommand)
@click.argument("model", metavar="A")
@click.option("--of", required=True, metavar="B", help="The model that A may contain.")
@click.option("--base", metavar="BASE", help="The base model of both; without it only 'related' can be said.")
@click.option("--others", multiple=True, metavar="C...", help="Further fine-tunes of BASE that A may contain.")
@secret_option
@json_option
@quiet_option
def lineage(
    model: str,
    of: str,
    base: str | None,
    others: tuple[str, ...],
    secret_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say whether A is B, a fine-tune of it, a merge that contains it, or only a fine-tune of the same base.

    All are folders, model ids on the Hub, or files that `mergeguard fingerprint` wrote.
    """
    from mergeguard_hub.fingerprint import lineage as traced

    secret = read_passphrase(secret_file)

    def taken(source: str) -> Fingerprint:
        return fingerprint_of(source, quiet=quiet or as_json, secret=secret)

    found = traced(
        taken(model),
        of=replace(taken(of), name=of),
        base=None if base is None else taken(base),
        others={source: taken(source) for source in others},
    )
    if as_json:
        print_json({"a": model, "of": of, "base": base, **asdict(found), "contains": found.contains})
    else:
        _show(found, model, of, tables=not quiet)


def fingerprint_of(source: str, *, quiet: bool, secret: str | None = None) -> Fingerprint:
    """Return the fingerprint in a file, or take that of a folder or of a model on the Hub.

    Args:
        source: a fingerprint file, a folder or a Hub id; a path that exists wins.
        quiet: show no download bars.
        secret: of the probes.
    """
    from mergeguard_hub.fingerprint import Fingerprint, fingerprint_folder
    from mergeguard_hub.hub.source import local_folder

    path = Path(source).expanduser()
    if path.is_file():
        return Fingerprint.load(path)
    folder = local_folder(source, quiet=quiet or not sys.stderr.isatty())
    return fingerprint_folder(folder, name=None if path.exists() else source, secret=secret)


def described(found: Similarity) -> list[str]:
    """Return the lines that say how alike two models are."""
    return [
        f"score     {found.score:.4f}  (1 the same, near 0 unrelated)",
        f"distance  {found.distance:.1e}  (up to {found.rounding:.1e} counts as the same)",
        f"p-value   {found.p_value:.1e}  (of independently trained models)",
        f"sizes     {found.sizes:.1e}  (0 also where tokens were renumbered)",
    ]


def _show(found: Lineage, model: str, of: str, *, tables: bool) -> None:
    say(f"{model} to {of}: {found.relation}.")
    if not tables:
        return
    say(*described(found.similarity))
    if found.cosine is None or found.unexplained is None:
        return
    say(f"cosine    {found.cosine:.2f}  (of task vectors)")
    if found.weights is None:
        missing = f"{100 * found.unexplained:.0f} % of what changed is not explained"
        say(f"weight    none: {missing}. Give the other parts (--others), or the merge is ruined.")
        return
    say(f"weight    {found.weight:.2f}  (of its task vector)")
    say(*(f"weight of {name}  {weight:.2f}" for name, weight in found.weights.items() if name != of))
