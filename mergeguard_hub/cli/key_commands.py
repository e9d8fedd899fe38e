"""`mergeguard key new` and `mergeguard key show`."""

from __future__ import annotations

from pathlib import Path

import click

from mergeguard_hub.cli.options import FILE, json_option, passphrase_option, read_passphrase
from mergeguard_hub.cli.output import print_json, say
from mergeguard_hub.cli.root import GuardedGroup, main


@main.group("key", cls=GuardedGroup)
def key_group() -> None:
    """Make and name keys."""


@key_group.command("new")
@click.argument("file", type=FILE)
@passphrase_option
@json_option
def new(file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Make a new key in FILE, which must not exist."""
    from mergeguard_hub.protection.key import Key

    key = Key.generate()
    path = key.save(file, passphrase=read_passphrase(passphrase_file))
    if as_json:
        print_json({"id": key.id, "path": str(path), "encrypted": passphrase_file is not None})
        return
    say(
        f"Made the key {key.id} in {path}.",
        "Keep a backup of it in a safe place: what it protects cannot be unlocked without it.",
    )


@key_group.command("show")
@click.argument("file", type=FILE)
@passphrase_option
@json_option
def show(file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Print the public id of the key in FILE, and nothing secret.

    The id of an encrypted key is read without its passphrase; give one to have it checked as well.
    """
    from mergeguard_hub.protection.key import Key, stored_id

    passphrase = read_passphrase(passphrase_file)
    key_id = stored_id(file) if passphrase is None else Key.load(file, passphrase=passphrase).id
    if as_json:
        print_json({"id": key_id, "path": str(file)})
        return
    say(key_id)
