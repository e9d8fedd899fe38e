"""`mergeguard protect`, `unlock`, `verify` and `inspect`: thin callers of `mergeguard_hub.release`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergeguard_hub.cli.options import (
    FILE,
    NEW_FOLDER,
    PRESETS,
    base_option,
    json_option,
    key_option,
    passphrase_option,
    quiet_option,
    read_passphrase,
    workers_option,
)
from mergeguard_hub.cli.output import print_json, say, show_inspection, show_report, show_unlocked, show_verification
from mergeguard_hub.cli.progress import progress_bars
from mergeguard_hub.cli.project_key import project_key
from mergeguard_hub.cli.root import main

if TYPE_CHECKING:
    from mergeguard_hub.fingerprint import Similarity

# Torch and transformers are imported inside the commands, so that --help answers at once.


exclude_option = click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave matching files out; may be given again."
)


@main.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST", type=NEW_FOLDER)
@click.option("--preset", type=PRESETS, default="exact", show_default=True, help="What is done to the weights.")
@click.option("--key", "key_path", type=FILE, help="Key file, made if it does not exist.  [default: one per SRC name]")
@base_option
@workers_option
@exclude_option
@click.option("--no-verify", is_flag=True, help="Do not compare the outputs before and after.")
@passphrase_option
@json_option
@quiet_option
def protect(
    source: str,
    target: Path,
    preset: str,
    key_path: Path | None,
    base: str | None,
    workers: int | None,
    exclude: tuple[str, ...],
    no_verify: bool,
    passphrase_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a protected release of the model SRC to the new folder DST.

    DST loads like SRC, without this package, and answers the same; a merge with it falls apart. SRC is never changed.
    Keep the key: only `mergeguard unlock` with this key gives the original weights back.
    """
    from mergeguard_hub.release import protect_folder

    with project_key(key_path, source, target, passphrase_file) as project:
        folder, base_folder = _local(source, quiet or as_json), _local_or_none(base, quiet or as_json)
        with progress_bars(quiet=quiet) as progress:
            report = protect_folder(
                folder,
                target,
                recipe=preset,
                key=project.key,
                base=base_folder,
                workers=workers,
                verify=not no_verify,
                exclude=exclude,
                progress=progress,
            )
    if as_json:
        key_file = {"path": None if project.path is None else str(project.path), "created": project.created}
        print_json({**report.to_dict(), "target": str(target), "key_file": key_file})
    elif not quiet:
        show_report(report, target)


@main.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST", type=NEW_FOLDER)
@key_option
@workers_option
@exclude_option
@passphrase_option
@json_option
@quiet_option
def unlock(
    source: str,
    target: Path,
    key_path: Path,
    workers: int | None,
    exclude: tuple[str, ...],
    passphrase_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the original weights of the protected release SRC to the new folder DST.

    After the preset exact they are the original files, byte for byte.
    """
    from mergeguard_hub.protection.key import Key
    from mergeguard_hub.release import unlock_folder

    key = Key.load(key_path, passphrase=read_passphrase(passphrase_file))
    folder = _local(source, quiet or as_json)
    with progress_bars(quiet=quiet) as progress:
        report = unlock_folder(folder, target, key=key, workers=workers, exclude=exclude, progress=progress)
    if as_json:
        print_json({**report.to_dict(), "target": str(target)})
    elif not quiet:
        show_unlocked(report, target)


@main.command()
@click.argument("path", metavar="PATH|REPO")
@click.option("--against", metavar="ORIGINAL", help="Also compare the outputs with those of the original model.")
@click.option("--lineage", metavar="ORIGINAL|FP.JSON", help="Also compare the fingerprint with that of the original.")
@click.option("--revision", metavar="REVISION", help="Branch, tag or commit of REPO.")
@json_option
@quiet_option
@click.pass_context
def verify(
    ctx: click.Context,
    path: str,
    against: str | None,
    lineage: str | None,
    revision: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check that PATH, or the model REPO on the Hub, is the release it claims to be.

    Exits with 0 if its weights are the ones that were protected and, with --against, answer like the original; with 3
    if they were modified, or other weights lie beside them in REPO; with 4 if nothing claims that they are protected;
    with 1 if they answer differently, have another fingerprint than the original, or cannot be read. --lineage needs
    no more memory than a few pieces of a tensor, and no original where its fingerprint was registered.
    """
    from mergeguard_hub.hub.checked import Checked, other_weights
    from mergeguard_hub.release import verify_folder

    folder, original = _local(path, quiet or as_json, revision), _local_or_none(against, quiet or as_json)
    with progress_bars(quiet=quiet) as progress:
        found = verify_folder(folder, against=original, progress=progress)
    checked = Checked(found, other_weights(path, folder, revision=revision))
    kin = None if lineage is None else _kin(folder, lineage, quiet=quiet or as_json)
    same = kin is None or kin.kinship == "same"
    if as_json:
        content = {**asdict(found), "beside": checked.beside, "ok": checked.ok and same, "path": path}
        traced = {} if kin is None else {"lineage": {"of": lineage, **asdict(kin)}}
        print_json({**content, "against": against, **traced})
    else:
        show_verification(found, path, against, tables=not quiet)
        if kin is not None:
            say(f"{path}: its fingerprint is {'' if same else 'not '}that of {lineage} ({kin.distance:.1e} apart).")
        if checked.beside:
            names = ", ".join(checked.beside)
            say(f"{path}: other weights lie beside the release, which may be loaded instead: {names}.")
    ctx.exit(checked.exit_code or int(not same))


@main.command()
@click.argument("path", metavar="PATH")
@click.option("--preset", type=PRESETS, default="exact", show_default=True, help="What would be done to the weights.")
@json_option
@quiet_option
def inspect(path: str, preset: str, as_json: bool, quiet: bool) -> None:
    """Show what can be protected in PATH, stage by stage, and why the rest cannot."""
    from mergeguard_hub.release import inspect_folder

    folder = _local(path, quiet or as_json)
    with progress_bars(quiet=quiet) as progress:
        found = inspect_folder(folder, recipe=preset, progress=progress)
    if as_json:
        print_json({**asdict(found), "path": path})
    else:
        show_inspection(found, path)


def _kin(folder: Path, original: str, *, quiet: bool) -> Similarity:
    from mergeguard_hub.cli.fingerprint_commands import fingerprint_of
    from mergeguard_hub.fingerprint import compare

    return compare(fingerprint_of(str(folder), quiet=quiet), fingerprint_of(original, quiet=quiet))


def _local(source: str, quiet: bool, revision: str | None = None) -> Path:
    from mergeguard_hub.hub.source import local_folder

    return local_folder(source, revision=revision, quiet=quiet or not sys.stderr.isatty())


def _local_or_none(source: str | None, quiet: bool) -> Path | None:
    return None if source is None else _local(source, quiet)
