"""The command group, and how every command ends: one line per error, and the exit codes."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from mergeguard_hub import __version__
from mergeguard_hub.cli.output import one_line, print_json
from mergeguard_hub.errors import MergeGuardError

INTERRUPTED = 130  # 128 + SIGINT, what shells report


class GuardedCommand(click.Command):
    """A command whose expected failures are one line on stderr (and an object on stdout under --json)."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit 1 on an error that is understood and 130 on Ctrl-C."""
        try:
            with _warnings_shown():
                return super().invoke(ctx)
        except MergeGuardError as error:
            _fail(ctx, type(error).__name__, str(error))
        except KeyboardInterrupt:
            click.echo("mergeguard: interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output left, as in `mergeguard inspect x | head -1`
                raise
            _fail(ctx, type(error).__name__, _os_sentence(error))


class GuardedGroup(click.Group):
    """A group of guarded commands."""

    command_class = GuardedCommand
    group_class = type


@click.group(cls=GuardedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mergeguard")
def main() -> None:
    """Publish a model that answers as before and merges badly.

    SRC, PATH and BASE are folders on this machine or model ids on the Hub. Exit codes: 0 success, 1 the operation
    failed or the release did not pass, 2 wrong usage, 130 interrupted; verify also has 3 modified, 4 not protected.
    """


class _Warnings(logging.Handler):
    """Shows what the library warns of as every other line of ours is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"mergeguard: warning: {one_line(record.getMessage())}", err=True)


@contextmanager
def _warnings_shown() -> Iterator[None]:
    logger, handler = logging.getLogger("mergeguard_hub"), _Warnings(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _fail(ctx: click.Context, name: str, message: str) -> NoReturn:
    sentence = one_line(message)
    if ctx.params.get("as_json"):
        print_json({"error": name, "message": sentence})
    click.echo(f"mergeguard: error: {sentence}", err=True)
    ctx.exit(1)


def _os_sentence(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    where = f" ({error.filename})" if error.filename else ""
    advice = {
        errno.ENOSPC: "free some space, or choose a target on another disk",
        errno.EACCES: "check who owns the file and its folder",
        errno.EPERM: "check who owns the file and its folder",
        errno.EROFS: "choose a target on a disk that can be written",
    }.get(error.errno or 0, "check the path and the disk")
    return f"The operating system refused: {reason}{where}; {advice}."
