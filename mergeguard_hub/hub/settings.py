"""What a guarded object remembers about how it is to be saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.errors import HookError
from mergeguard_hub.protection.key import Key

if TYPE_CHECKING:
    from mergeguard_hub.protection.recipe import Recipe


@dataclass(frozen=True)
class SaveSettings:
    """How `save_pretrained` protects an object when the call itself does not say.

    A key in memory and a passphrase never enter a pickle: a copy that was pickled refuses to save until `enable` gives
    it a key again. A key that is a path is pickled as that path.

    Attributes:
        protection: True (the "exact" preset), False (save plainly), a preset's name or a Recipe.
        key: a key, the path of a key file, or None for a file under the user's config directory.
        base: folder of the base model, for recipes that need one.
        passphrase: opens or encrypts the key file.
        example_inputs: arguments of the forward pass, for a PyTorchModelHubMixin of a class that no library has.
        missing: public id of a key that a pickle left out, else None.
        checkpoints: output folder of a Trainer that is training, whose checkpoints stay raw; see `MergeGuardCallback`.
    """

    protection: bool | str | Recipe = True
    key: Key | str | Path | None = None
    base: str | Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = field(default=None, repr=False)
    missing: str | None = None
    checkpoints: Path | None = None

    def overridden(
        self, protection: bool | str | Recipe | None, key: Key | str | Path | None, base: str | Path | None
    ) -> SaveSettings:
        """Return these settings with what a call gave in their place; None means not given.

        A key of the call brings no passphrase: open an encrypted file with `Key.load(path, passphrase=...)` first.
        """
        changed = self if protection is None else replace(self, protection=protection)
        changed = changed if base is None else replace(changed, base=base)
        return changed if key is None else replace(changed, key=key, passphrase=None, missing=None)

    @property
    def protects(self) -> bool:
        """Whether a save with these settings is protected."""
        return self.protection is not False

    def resolved_recipe(self) -> Recipe:
        """The recipe for `protect_folder`.

        Raises:
            HookError: `protection` is neither True, a preset's name nor a Recipe.
            RecipeError: there is no preset of that name.
        """
        from mergeguard_hub.protection.recipe import Recipe  # loads scipy only when something is saved

        if isinstance(self.protection, Recipe):
            return self.protection
        if self.protection is not True and not isinstance(self.protection, str):
            raise HookError(f"protection={self.protection!r} names no recipe; give True, a preset's name or a Recipe.")
        return Recipe.preset("exact" if self.protection is True else self.protection)

    def require_key(self) -> None:
        """Refuse settings whose key was left out of a pickle.

        Raises:
            HookError: there was a key in memory, and it is gone.
        """
        if self.missing is not None:
            raise HookError(
                f"This object was unpickled, and its key (id {self.missing}) was not pickled with it; "
                "call enable(model, key=...) again before saving."
            )

    def __copy__(self) -> SaveSettings:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SaveSettings:
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "passphrase": None}
        if isinstance(self.key, Key):
            state |= {"key": None, "missing": self.key.id}
        return state
