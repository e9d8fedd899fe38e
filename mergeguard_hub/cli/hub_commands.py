"""`mergeguard push`, `badge` and `card`: thin callers of `mergeguard_hub.hub`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from mergeguard_hub.cli.options import json_option, quiet_option
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.progress import progress_bars
from mergeguard_hub.cli.root import main


@main.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("repo_id", metavar="REPO")
@click.option("--private/--public", default=None, help="Of a new repository.  [default: as the account has it]")
@click.option("--revision", metavar="BRANCH", help="Branch to push to, made if there is none.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing.")
@click.option("--message", "-m", metavar="TEXT", help="Title of the commit.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Tag for the card; may be given again.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave matching files out; may be given again.")
@json_option
@quiet_option
def push(
    folder: Path,
    repo_id: str,
    private: bool | None,
    revision: str | None,
    create_pr: bool,
    message: str | None,
    tags: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Publish the protected FOLDER as the model REPO ("owner/model") on the Hub.

    FOLDER is verified first. One commit adds the release and deletes every other weight file of REPO: raw weights from
    an earlier push would be loaded in preference to it. Keys and optimizer state are never uploaded.
    """
    from mergeguard_hub.hub.push import push_folder
    from mergeguard_hub.hub.source import transfer_bars

    still = quiet or as_json or not sys.stderr.isatty()
    with progress_bars(quiet=quiet or as_json) as progress, transfer_bars(hidden=still):
        done = push_folder(
            folder,
            repo_id,
            private=private,
            revision=revision,
            create_pr=create_pr,
            commit_message=message,
            tags=tags,
            exclude=exclude,
            progress=progress,
        )
    if as_json:
        print_json(
            {
                "repo_id": done.repo_id,
                "commit": done.commit.oid,
                "url": done.commit.pr_url or done.commit.commit_url,
                "unchanged": done.unchanged,
                "deleted": done.deleted,
                "exposed": {} if done.exposure is None else done.exposure.commits,
                "squash": (done.exposure.squash or None) if done.exposure is not None else None,
            }
        )
        return
    if not quiet:
        if done.unchanged:
            say(f"{done.repo_id}: nothing to do, it holds this release already.")
        else:
            say(f"{done.repo_id}: pushed, {done.commit.pr_url or done.commit.commit_url}")
        for name in done.deleted:
            say(f"deleted  {name}")


target_options = (
    click.option("--revision", metavar="BRANCH", help="Branch of REPO."),
    click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing."),
)


@main.command()
@click.argument("source", metavar="PATH|REPO")
@click.option("--shields", is_flag=True, help="Refer to a picture at shields.io, fetched when it is looked at.")
@target_options[0]
@target_options[1]
@json_option
def badge(source: str, shields: bool, revision: str | None, create_pr: bool, as_json: bool) -> None:
    """Add the badge of a release to the README in PATH or REPO, or bring it up to date.

    The weights are verified first; what was changed since gets a badge that says "modified".
    """
    _refresh(source, "badge", revision, create_pr, as_json, shields=shields)


@main.command()
@click.argument("source", metavar="PATH|REPO")
@target_options[0]
@target_options[1]
@json_option
def card(source: str, revision: str | None, create_pr: bool, as_json: bool) -> None:
    """Write our part of the model card in PATH or REPO, or bring it up to date; the rest of it stays as it is.

    An audit.json beside the weights is told of, if it is of these weights.
    """
    _refresh(source, "card", revision, create_pr, as_json)


def _refresh(
    source: str,
    what: Literal["badge", "card"],
    revision: str | None,
    create_pr: bool,
    as_json: bool,
    *,
    shields: bool = False,
) -> None:
    from mergeguard_hub.hub.refresh import refresh
    from mergeguard_hub.hub.remote import Destination
    from mergeguard_hub.hub.source import transfer_bars

    with transfer_bars(hidden=as_json or not sys.stderr.isatty()):
        text = refresh(source, what, where=Destination(source, revision, create_pr), shields=shields)
    if as_json:
        print_json({"source": source, "badge": text})
    else:
        say(f"{source}: {text}.")
