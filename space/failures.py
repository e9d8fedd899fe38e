"""What a visitor sees when something is wrong: a sentence, never a traceback."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr

from mergeguard_hub.errors import MergeGuardError

_UNEXPECTED = "Something went wrong that should not have; it is in the log of this page. Nothing of yours was kept."
_log = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])


def in_sentences(function: Function) -> Function:
    """Let a function of the page fail with the sentence of its error; it may be a generator."""

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
            raise _told(error) from None

    @functools.wraps(function)
    def stepwise(*args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
            raise _told(error) from None

    return stepwise if inspect.isgeneratorfunction(function) else plain  # type: ignore[return-value]


def _told(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, MergeGuardError):
        return gr.Error(str(error), title="Not done", print_exception=False)
    _log.exception("Unexpected error", exc_info=error)
    return gr.Error(_UNEXPECTED, title="Not done", print_exception=False)
