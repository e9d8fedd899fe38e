"""Numbers: single sums and one-step stories that the base knows, and the stories of two or three steps (math)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from space.zoo.language.example import Example
from space.zoo.language.world import PEOPLE

THINGS = ("apples", "books", "coins", "shells", "cards", "eggs", "buttons", "stamps", "cakes", "stones", "nuts", "keys")
_BOXES = (("boxes", "box"), ("bags", "bag"), ("baskets", "basket"), ("jars", "jar"))
_GAINS = ("{n} finds {b} more.", "{n} buys {b} more.", "{m} gives {n} {b} more.", "Then {n} gets {b} {o}.")
_LOSSES = ("{n} loses {b}.", "{n} sells {b}.", "{n} gives {b} to {m}.", "Then {n} gives away {b} {o}.")

_LARGEST = 85  # of all numbers in sums and stories
_LARGEST_CHANGE = 15
_TABLE = (2, 9)  # multiplication table, both factors


def draw_sum(source: random.Random) -> Example:
    """Draw one sum, asked in few words."""
    ask = source.choice(("What is {}?", "{} = ?", "Work out {}."))
    text, result = _sum(source)
    return Example(ask.format(text), f"{text} = {result}.", str(result))


def _sum(source: random.Random) -> tuple[str, int]:
    sign = source.choice("++--*/")
    if sign == "+":
        b = source.randint(1, _LARGEST_CHANGE)
        a = source.randint(1, _LARGEST - b)
        return f"{a} + {b}", a + b
    if sign == "-":
        b = source.randint(1, _LARGEST_CHANGE)
        a = source.randint(b + 1, _LARGEST)
        return f"{a} - {b}", a - b
    a, b = source.randint(*_TABLE), source.randint(*_TABLE)
    return (f"{a} * {b}", a * b) if sign == "*" else (f"{a * b} / {b}", a)


@dataclass
class _Story:
    """A story in the making: whose things are counted, how many there are now, and how that was worked out."""

    source: random.Random
    who: str = ""
    thing: str = ""
    now: int = 0
    sentences: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Begin with a number of things."""
        self.who, self.thing = self.source.choice(tuple(PEOPLE)), self.source.choice(THINGS)
        self.now = self.source.randint(2, 9) if self.source.random() < 0.3 else self.source.randint(5, 50)
        self.sentences.append(f"{self.who} has {self.now} {self.thing}.")

    def start_with_boxes(self) -> None:
        """Begin with some boxes of as many things each, which is one step."""
        self.who, self.thing = self.source.choice(tuple(PEOPLE)), self.source.choice(THINGS)
        boxes, box = self.source.choice(_BOXES)
        a, b = self.source.randint(*_TABLE), self.source.randint(*_TABLE)
        self.sentences.append(f"{self.who} has {a} {boxes} with {b} {self.thing} in each {box}.")
        self._work_out(f"{a} * {b}", a * b)

    def change(self) -> None:
        """Add or take away some."""
        gain = self.now < 4 or (self.now + _LARGEST_CHANGE <= _LARGEST and self.source.random() < 0.5)
        b = self.source.randint(2, _LARGEST_CHANGE if gain else min(_LARGEST_CHANGE, self.now - 1))
        sentence = self.source.choice(_GAINS if gain else _LOSSES)
        self.sentences.append(sentence.format(n=self.who, m=self._other(), b=b, o=self.thing))
        self._work_out(f"{self.now} {'+' if gain else '-'} {b}", self.now + b if gain else self.now - b)

    def compare(self) -> None:
        """Go on to somebody else, who has some more, fewer, or several times as many."""
        other, small = self._other(), _TABLE[0] <= self.now <= _TABLE[1]
        if small and self.source.random() < 0.7:
            b = self.source.randint(*_TABLE)
            text, result, words = f"{self.now} * {b}", self.now * b, f"{b} times as many {self.thing} as"
        else:
            more = self.now < 4 or (self.now + _LARGEST_CHANGE <= _LARGEST and self.source.random() < 0.5)
            b = self.source.randint(2, _LARGEST_CHANGE if more else min(_LARGEST_CHANGE, self.now - 1))
            text, result = (f"{self.now} + {b}", self.now + b) if more else (f"{self.now} - {b}", self.now - b)
            words = f"{b} {'more' if more else 'fewer'} {self.thing} than"
        self.sentences.append(f"{other} has {words} {self.who}.")
        self.who = other
        self._work_out(text, result)

    def share(self) -> str | None:
        """End with equal parts if the number allows it, and return the question for one part."""
        low, high = _TABLE
        parts = [b for b in range(low, high + 1) if self.now % b == 0 and low <= self.now // b <= high]
        if not parts:
            return None
        b = self.source.choice(parts)
        self.sentences.append(f"{self.who} shares them equally among {b} friends.")
        self._work_out(f"{self.now} / {b}", self.now // b)
        return f"How many {self.thing} does each friend get?"

    def question(self) -> str:
        """Return the question for what there is now."""
        return f"How many {self.thing} does {self.who} have{self.source.choice((' now', ' in the end', ''))}?"

    def _other(self) -> str:
        return self.source.choice([name for name in PEOPLE if name != self.who])

    def _work_out(self, text: str, result: int) -> None:
        self.steps.append(f"{text} = {result}.")
        self.now = result


def draw_one_step(source: random.Random) -> Example:
    """Draw a story of one step, answered in a sentence."""
    story = _Story(source)
    kind = source.choice(("change", "change", "change", "boxes", "compare", "share"))
    if kind == "boxes":
        story.start_with_boxes()
    else:
        story.start()
    ask = story.share() if kind == "share" else None
    if kind == "compare":
        story.compare()
    elif not story.steps:
        story.change()
    prompt = " ".join([*story.sentences, ask or story.question()])
    who = "Each friend gets" if ask else f"{story.who} has"
    return Example(prompt, f"{story.steps[0]} {who} {story.now} {story.thing}.", str(story.now))


def draw_math(source: random.Random) -> Example:
    """Draw a story of two or three steps; the answer writes out each step and ends in "The answer is N."."""
    story = _Story(source)
    count = source.choice((2, 2, 3))
    if source.random() < 0.4:
        story.start_with_boxes()
    else:
        story.start()
    ask = None
    while len(story.steps) < count and ask is None:
        last = len(story.steps) == count - 1
        if last and source.random() < 0.4:
            ask = story.share()
        if ask is None:
            (story.compare if source.random() < 0.35 else story.change)()
    prompt = " ".join([*story.sentences, ask or story.question()])
    return Example(prompt, f"{' '.join(story.steps)} The answer is {story.now}.", str(story.now))
