"""Finding the program in an answer."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Iterator

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_FIRST_CODE = re.compile(r"^(?:def |async def |class |from \w|import \w|@\w)", re.MULTILINE)
_FUNCTION = re.compile(r"^(?:async )?def |^class ", re.MULTILINE)
_INDENT = "    "


def complete(prompt: str, answer: str) -> str:
    r"""Return the whole program of a prompt that begins a function and an answer that goes on or starts anew.

    Code fences are taken off; of several, the first counts. If the answer starts at its left margin and defines a
    function or a class, it is the program, after the imports of the prompt. Otherwise it is the rest of the prompt's
    function; if it is not indented, it is. Where both are possible, more lines that are Python decide. Lines at the
    end that are not (what a model says after its code) are left out. Nothing is executed here.

    Args:
        prompt: the user's words; its code is what the first fence holds, or all from the first line that is code.
        answer: what the model wrote.

    Returns:
        A program; where no arrangement is valid Python, the likeliest, which then fails when it is run.

    Example:
        >>> print(complete("Write it:\n```python\ndef double(n):\n```", "return 2 * n\n\nThat doubles it."))
        def double(n):
            return 2 * n
    """
    stub, written = _prompt_code(prompt), _fenced(answer)
    head, body, used = max(
        ((head, body, _lines_of_python(head, body)) for head, body in _arrangements(stub, written.strip("\n"))),
        key=lambda arrangement: arrangement[2],  # the first of those with most lines
    )
    return head + "\n".join(body.split("\n")[: used or None]).rstrip()


def _lines_of_python(head: str, body: str) -> int:
    """Return how many lines of `body`, from its first, are valid Python behind `head`."""
    lines = body.split("\n")
    ends = (end for end in range(len(lines), 0, -1) if lines[end - 1].strip())
    return next((end for end in ends if _is_python(head + "\n".join(lines[:end]))), 0)


def _arrangements(stub: str, answer: str) -> Iterator[tuple[str, str]]:
    """Yield (what stands before, the answer's lines), the likeliest first."""
    level = textwrap.dedent(answer)
    if _FUNCTION.search(level) and not level.startswith((" ", "\t")):
        imports = "".join(f"{line}\n" for line in stub.split("\n") if line.startswith(("import ", "from ")))
        yield imports, level
        yield imports, _from_first_code(level)  # something was said before it
    head = stub.rstrip() + "\n" if stub.strip() else ""
    if answer.startswith((" ", "\t")) or not head:
        yield head, answer
    yield head, _INDENT + answer  # only the first line lost its indentation
    yield head, textwrap.indent(level, _INDENT)


def _prompt_code(prompt: str) -> str:
    return _fenced(prompt) if _FENCE.search(prompt) else _from_first_code(prompt)


def _from_first_code(text: str) -> str:
    start = _FIRST_CODE.search(text)
    return text[start.start() :] if start else ""


def _fenced(text: str) -> str:
    """Return what the first code fence holds, to the end if it is not closed; without a fence, the text."""
    found = _FENCE.search(text)
    return found[1] if found else text


def _is_python(program: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd escapes in the model's strings
        try:
            compile(program, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
