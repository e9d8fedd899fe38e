"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mergeguard_hub.errors import PassphraseError


class PresetName(click.Choice[str]):
    """A preset's name; protections that are trained or negated get through to the sentence that says how."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or refuse one that means nothing."""
        return value if value in ("mergeguard", "trap2", "hardened") else super().convert(value, param, ctx)


PRESETS = PresetName(["exact", "mergelock", "params"])
FILE = click.Path(path_type=Path, dir_okay=False)


class NewFolder(click.Path):
    """A folder to write; the empty text, which is what an unset shell variable leaves, is not this folder."""

    def __init__(self) -> None:
        """Take any path, as a Path."""
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or refuse an empty one."""
        if value == "":
            self.fail("the path is empty. Give the folder to write; was a shell variable unset?", param, ctx)
        return super().convert(value, param, ctx)


NEW_FOLDER = NewFolder()

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
quiet_option = click.option("--quiet", is_flag=True, help="Print no progress and no tables.")
key_option = click.option("--key", "key_path", type=FILE, required=True, help="The key that SRC was protected with.")
base_option = click.option("--base", metavar="BASE", help="The base model that SRC was fine-tuned from.")
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    show_default="one per processor, at most 4",
    help="Tensors and blocks done at a time.",
)
passphrase_option = click.option(
    "--passphrase-file", type=FILE, help="File whose first line is the passphrase of the key."
)


def read_passphrase(path: Path | None) -> str | None:
    """Return the first line of a passphrase file, None without one.

    Raises:
        PassphraseError: the file is missing or not text.
    """
    if path is None:
        return None
    try:
        return path.expanduser().read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except FileNotFoundError:
        raise PassphraseError(f"There is no passphrase file {path}; check the path.") from None
    except UnicodeDecodeError:
        pass  # raised below, so that no exception carries the file's bytes along
    raise PassphraseError(f"The passphrase file {path} is not UTF-8 text; write the passphrase as its first line.")
