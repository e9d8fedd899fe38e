"""Protection for the saves of an object that is loaded already, and its undoing."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import PLAIN, SETTINGS, innermost, plain_class
from mergeguard_hub.hub.mixin import MergeGuardMixin
from mergeguard_hub.hub.refusals import check_model
from mergeguard_hub.hub.settings import SaveSettings
from mergeguard_hub.hub.upstream import watch_uploads

if TYPE_CHECKING:
    from mergeguard_hub.protection.key import Key
    from mergeguard_hub.protection.recipe import Recipe

Model = TypeVar("Model")

_made: weakref.WeakValueDictionary[type, type] = weakref.WeakValueDictionary()


def enable(
    model: Model,
    *,
    protection: bool | str | Recipe = True,
    key: Key | str | Path | None = None,
    base: str | Path | None = None,
    passphrase: str | None = None,
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
) -> Model:
    """Make every later `save_pretrained` of `model` write protected weights, as `MergeGuardMixin` does for a class.

    Works on transformers and diffusers models, diffusers pipelines, PyTorchModelHubMixin objects, and any of them
    inside `torch.compile`. Only a save of `model` itself is protected: `save_pretrained` of a submodule, as in
    `model.model.save_pretrained(...)`, or of one component of a pipeline still writes the raw weights.

    The object gets a subclass of its class with the same name and module; nothing else about it changes. Called again,
    it replaces the settings. Copies and pickles stay enabled; a pickle leaves a key in memory and the passphrase out.

    Args:
        model: the object; changed in place.
        protection: True (the "exact" preset), a preset's name, a Recipe, or False to save plainly.
        key: a key or the path of a key file; by default one is made at the first save, see `MergeGuardMixin`.
        base: folder of the base model, for recipes that need one.
        passphrase: opens the key file, or encrypts a new one.
        example_inputs: arguments of the forward pass, by name or in order. A PyTorchModelHubMixin of a class of your
            own needs them: no library can build it, so it is proved on a copy of the object itself.

    Returns:
        `model` itself.

    Raises:
        HookError: the object is of no known family, carries adapters, is quantised, or cannot change its class.
        RecipeError: there is no preset of that name.

    Example:
        enable(model, protection="exact", key="~/keys/my-finetune.mgkey").save_pretrained("out")
    """
    inner = innermost(model)
    check_model(inner)
    settings = SaveSettings(protection, key, base, passphrase, example_inputs)
    if settings.protects:
        settings.resolved_recipe()  # a misspelt preset shows here, not after hours of training
    if not isinstance(inner, MergeGuardMixin):
        _become(inner, guarded_class(type(inner)))
    vars(inner)[SETTINGS] = settings
    watch_uploads()  # also what was imported since the first object of this class
    return model


def disable(model: Model) -> Model:
    """Undo `enable`: the object has its own class again, and no trace of the settings.

    An object whose class mixes in MergeGuardMixin goes back to the settings of its class, so it still saves protected;
    pass `protection=False` to a save to have it plain.

    Returns:
        `model` itself.
    """
    inner = innermost(model)
    if isinstance(inner, MergeGuardMixin):
        vars(inner).pop(SETTINGS, None)
        _become(inner, plain_class(type(inner)))
    return model


def guarded_class(model_class: type) -> type:
    """Return the subclass that protects the saves of `model_class` and looks like it in every other respect."""
    made = _made.get(model_class)
    if made is not None:
        return made
    namespace = {
        "__module__": model_class.__module__,
        "__qualname__": model_class.__qualname__,
        "__doc__": model_class.__doc__,
        "__reduce_ex__": _reduce,
        PLAIN: model_class,
    }
    bases = (MergeGuardMixin, model_class)
    made = types.new_class(model_class.__name__, bases, exec_body=lambda body: body.update(namespace))
    _made[model_class] = made
    return made


def _become(model: Any, model_class: type) -> None:
    if type(model) is model_class:
        return
    try:
        object.__setattr__(model, "__class__", model_class)
    except TypeError as error:
        raise HookError(
            f"The class of this {type(model).__name__} cannot be changed ({error}); write a class with MergeGuardMixin."
        ) from error


def _reduce(self: Any, protocol: Any) -> Any:
    """Pickle as an object of the plain class, which can be found by its name, and guard it when it is rebuilt."""
    own = type(self)
    made = next(ancestor for ancestor in own.__mro__ if PLAIN in vars(ancestor))
    reduced = super(made, self).__reduce_ex__(protocol)  # type: ignore[arg-type]  # mypy: type objects of Any
    if made is not own or isinstance(reduced, str):  # a subclass that somebody derived is guarded by inheritance
        return reduced
    factory, arguments, *rest = reduced
    plain = plain_class(made)
    return (_rebuild, (factory, *(plain if argument is made else argument for argument in arguments)), *rest)


def _rebuild(factory: Callable[..., Any], *arguments: Any) -> Any:
    model = factory(*arguments)
    _become(model, guarded_class(type(model)))
    return model
