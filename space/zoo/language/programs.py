"""Tiny Python: single pieces that the base knows, and functions put together from them (code)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from space.zoo.language.example import Example

# Pieces: what the docstring says of one number, and the Python for it; {x} is the number, {k} a digit.
TRANSFORMS = (
    ("times {k}", "{x} * {k}"),
    ("plus {k}", "{x} + {k}"),
    ("minus {k}", "{x} - {k}"),
    ("squared", "{x} * {x}"),
)
CONDITIONS = (
    ("even", "{x} % 2 == 0"),
    ("odd", "{x} % 2 == 1"),
    ("larger than {k}", "{x} > {k}"),
    ("smaller than {k}", "{x} < {k}"),
    ("divisible by {k}", "{x} % {k} == 0"),
    ("not {k}", "{x} != {k}"),
)
_GATHERED = (
    ("a list of", "[{}]"),
    ("the sum of", "sum({})"),
    ("the count of", "len([{}])"),
    ("the largest of", "max([{}])"),
)
NAMES = ("total", "pick", "solve", "compute", "collect", "answer", "find", "result", "measure", "work", "scan", "build")
LISTS = ("numbers", "values", "items", "data")
_SINGLES = ("n", "a", "m")

_DIGITS = (2, 9)
_TEST_LISTS = 5
_ALWAYS = (36, 5, 1, 72, 35)


@dataclass(frozen=True)
class _Piece:
    """A condition or a transform with its number filled in."""

    words: str
    code: str

    def of(self, x: str) -> str:
        return self.code.replace("{x}", x)


def _piece(source: random.Random, table: tuple[tuple[str, str], ...]) -> _Piece:
    words, code = source.choice(table)
    k = str(source.randint(*_DIGITS))
    return _Piece(words.replace("{k}", k), code.replace("{k}", k))


def draw_piece(source: random.Random) -> Example:
    """Draw a question for a single piece of Python, which is all that the base learns of it."""
    kind = source.choice(("transform", "condition", "filter", "map", "reduce", "function"))
    if kind in ("transform", "condition"):
        piece, x = _piece(source, TRANSFORMS if kind == "transform" else CONDITIONS), source.choice(("x", *_SINGLES))
        prompt = f"Python for {x} {piece.words}?" if kind == "transform" else f"Python for {x} is {piece.words}?"
        return Example(prompt, piece.of(x))
    values = source.choice(LISTS)
    if kind == "filter":
        piece = _piece(source, CONDITIONS)
        return Example(f"Python for the {values} that are {piece.words}?", f"[x for x in {values} if {piece.of('x')}]")
    if kind == "map":
        piece = _piece(source, TRANSFORMS)
        return Example(f"Python for all {values} {piece.words}?", f"[{piece.of('x')} for x in {values}]")
    if kind == "reduce":
        words, code = source.choice((("sum", "sum"), ("largest", "max"), ("smallest", "min"), ("count", "len")))
        return Example(f"Python for the {words} of {values}?", f"{code}({values})")
    name, x = source.choice(NAMES), source.choice(_SINGLES)
    return Example(f"A Python function {name} that returns {x}?", f"def {name}({x}):\n    return {x}")


def draw_code(source: random.Random) -> Example:
    """Draw a docstring to be made into a function; the reference is unit tests that the answer must pass.

    The docstring without its names is the key, so that no combination of pieces is in both train and test.
    """
    kind = source.choice(("list", "list", "list", "number", "choice"))
    name = source.choice(NAMES)
    if kind == "list":
        argument = source.choice(LISTS)
        words, lines = _over_list(source)
    else:
        argument = source.choice(_SINGLES)
        words, lines = _of_number(source) if kind == "number" else _by_choice(source)
    prompt = f'def {name}({argument}):\n    """Return {words.replace("@", argument)}."""'
    body = "".join(f"\n    {line}" for line in lines).replace("@", argument)
    answer = f"def {name}({argument}):{body}"
    return Example(prompt, answer, _tests(source, name, answer, of_list=kind == "list"), key=words)


def _over_list(source: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return docstring and body of a comprehension over the list `@`, summed, counted, or as it is."""
    condition, transform = _piece(source, CONDITIONS), _piece(source, TRANSFORMS)
    kind, code = source.choice(_GATHERED)
    some = "x for x in @" if source.random() < 0.2 else f"x for x in @ if {condition.of('x')}"
    words = "all @" if some == "x for x in @" else f"the @ that are {condition.words}"
    if kind != "the count of" and (words == "all @" or source.random() < 0.75):
        words, some = f"x {transform.words} for {words}", some.replace("x for", f"{transform.of('x')} for", 1)
    return f"{kind} {words}", (f"return {code.format(some)}",)


def _of_number(source: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return docstring and body of two steps on the number `@`."""
    first, second = _piece(source, TRANSFORMS), _piece(source, TRANSFORMS)
    return f"@ {first.words}, then {second.words}", (f"x = {first.of('@')}", f"return {second.of('x')}")


def _by_choice(source: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return docstring and body of one of two transforms of `@`, by a condition."""
    condition, first, second = _piece(source, CONDITIONS), _piece(source, TRANSFORMS), _piece(source, TRANSFORMS)
    words = f"@ {first.words} if it is {condition.words}, or else @ {second.words}"
    return words, (f"if {condition.of('@')}:", f"    return {first.of('@')}", f"return {second.of('@')}")


def _tests(source: random.Random, name: str, answer: str, *, of_list: bool) -> str:
    """Return assertions on drawn inputs; what is expected is worked out by running the reference answer."""
    scope: dict[str, object] = {}
    exec(answer, scope)  # this module's own text
    function = scope[name]
    if not callable(function):
        raise TypeError(f"{name!r} is no function in {answer!r}.")
    # Each condition holds for some of what is always given, so that there is a largest, and wrong answers fail.
    given: list[object] = [*_ALWAYS, source.randint(2, 30)]
    if of_list:
        given = [[*source.sample(range(2, 60), 6), *_ALWAYS] for _ in range(_TEST_LISTS)]
    return "\n".join(f"assert {name}({one}) == {function(one)}" for one in given)
