"""Options that take a list of values, as in `--models A C`."""

from __future__ import annotations

import click

from mergeguard_hub.cli.root import GuardedCommand


class ListCommand(GuardedCommand):
    """A command whose repeatable options also take several values at once.

    `--models A C` is read as `--models A --models C`: values go on up to the next option. If that leaves no argument,
    the last value is the argument, if the command has one, so that `--models A C DST` means what it says.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write lists out, then parse as usual."""
        return super().parse_args(ctx, self._written_out(args))

    def _written_out(self, args: list[str]) -> list[str]:
        options = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        found: list[str] = []
        arguments: list[str] = []
        last_of_list = -1  # where in `found` the last value of a list is, if it is the last of all
        current: click.Option | None = None
        for arg in args:
            if arg.startswith("-") and not _number(arg):
                current = options.get(arg)
                last_of_list = -1
                if current is None or not current.multiple:
                    found.append(arg)
                if current is not None and current.is_flag:
                    current = None
            elif current is None:
                arguments.append(arg)
                last_of_list = -1
                found.append(arg)
            elif current.multiple:
                found += [current.opts[-1], arg]
                last_of_list = len(found) - 1
            else:
                found.append(arg)
                current = None
        wanted = any(isinstance(one, click.Argument) for one in self.params)
        if wanted and not arguments and last_of_list > 0:
            found[last_of_list - 1 :] = [found[last_of_list]]
        return found


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
