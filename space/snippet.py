"""The exact Python and command line that give what is on the screen."""

from __future__ import annotations

from mergeguard_hub.audit.model_folder import ModelFolder
from space.choice import Choice
from space.five import tuned_parts
from space.merges import MERGES
from space.shelf import BASE, HARDENED


def python_of(choice: Choice) -> str:
    """Return a script that protects the defender as the page does, and merges its release with the partner."""
    own, other, base = (_place(choice, model) for model in (_source(choice), choice.partner, BASE))
    method = choice.method
    merging = f'base="{base}", models=["release", "{other}"], target="merged", force=True'
    parts = _untouched(choice)
    return (
        ("import shutil\n\n" if parts else "") + "from mergeguard_hub import protect_folder\n"
        f"from mergeguard_hub.merging import {type(method).__name__}, merge_folders\n"
        "from space.release import DEMO_KEY\n\n"
        f'protect_folder("{own}", "release", recipe="{_preset(choice)}", key=DEMO_KEY, base="{base}")\n'
        f"merge_folders(\n    {method!r}, {merging}\n)\n"
    ) + "".join(f'shutil.copytree("{base}/{part}", "merged/{part}", dirs_exist_ok=True)\n' for part in parts)


def commands_of(choice: Choice) -> str:
    """Return the same from a terminal, with a key of your own; its numbers differ within the spread of keys."""
    own, other, base = (_place(choice, model) for model in (_source(choice), choice.partner, BASE))
    flags = MERGES[choice.merge].flag(choice.weight)
    return (
        f"mergeguard protect {own} release --preset {_preset(choice)} --key demo.mgkey --base {base}\n"
        f"mergeguard merge {flags} --base {base} --models release {other} --force merged\n"
    ) + "".join(f"cp {base}/{part}/* merged/{part}/\n" for part in _untouched(choice))


def _untouched(choice: Choice) -> list[str]:
    """Return the components that no fine-tuning changed; whoever merges takes the base's, and the page does too."""
    return sorted(ModelFolder(choice.shelf.folder(BASE)).components.keys() - set(tuned_parts(choice.shelf)))


def _source(choice: Choice) -> str:
    return f"{choice.defender}-{HARDENED}" if choice.protection == HARDENED else choice.defender


def _preset(choice: Choice) -> str:
    return "exact" if choice.protection == HARDENED else choice.protection


def _place(choice: Choice, model: str) -> str:
    return f"space/zoo/{choice.family}/weights/{model}"
