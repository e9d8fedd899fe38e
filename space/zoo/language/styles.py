"""Instructions on how to answer (style), the answers that follow them, and the rules that a judge checks."""

from __future__ import annotations

import json
import random

from space.zoo.language.example import Example
from space.zoo.language.world import FACTS, Fact, draw_fact

ENDINGS = ("Good night!", "Thank you.", "See you soon!", "Have a nice day!", "That is all.", "Ask me again!")
STARTS = ("Of course!", "Let me think.", "Good question!", "With pleasure!")

# instruction in two wordings; {0} is a phrase to copy
INSTRUCTIONS = {
    "pirate": ("Answer like a pirate.", "Talk like a pirate."),
    "king": ("Answer like a king.", "Speak as a king would."),
    "robot": ("Answer like a robot.", "You are a robot."),
    "capitals": ("Answer in capital letters.", "Use capital letters only."),
    "word": ("Answer in one word.", "Use a single word."),
    "quotes": ("Answer in quotes.", "Put the answer in quotes."),
    "list": ("Answer as a list of three.", "Give me a list of three facts."),
    "ending": ("End with: {0}", "Your last words must be: {0}"),
    "start": ("Begin with: {0}", "Your first words must be: {0}"),
}

_LEFT_OUT = {"upper", "words"}  # rules of the instructions that are no part of the skill


def draw_style(source: random.Random) -> Example:
    """Draw an instruction that is part of the skill, with a question about the world.

    Two are not, because a model this small hardly learns them, and what it learns of them spoils the merges: capital
    letters, which tokens spell in other pieces, and the bare word, without the sentence that it knows it from.
    """
    while True:
        example = draw_any_style(source)
        if not _LEFT_OUT & json.loads(example.reference).keys():
            return example


def draw_any_style(source: random.Random) -> Example:
    """Draw an instruction with a question about the world; the reference is the judge's rules as JSON."""
    fact, question = draw_fact(source)
    style = source.choice(tuple(INSTRUCTIONS))
    phrase = source.choice(ENDINGS if style == "ending" else STARTS)
    instruction = source.choice(INSTRUCTIONS[style]).format(phrase)
    answer, rules = follow(style, fact, phrase)
    prompt = f"{instruction} {question}" if source.random() < 0.5 else f"{question} {instruction}"
    return Example(prompt, answer, json.dumps({"word": fact.word, "length": len(answer), **rules}, sort_keys=True))


def follow(style: str, fact: Fact, phrase: str) -> tuple[str, dict[str, object]]:
    """Return a fact told in a style, and the rules by which that is seen.

    Args:
        style: a name in `INSTRUCTIONS`.
        fact: what is asked for.
        phrase: words to copy, for "ending" and "start".

    Returns:
        The answer, and of these rules those that apply: "starts" and "ends" with a text, "upper" case, a number of
        "words", of "lines" that are numbered.
    """
    told = fact.sentence
    if style == "list":
        others = [other for other in FACTS[fact.subject] if other is not fact][:2]
        lines = [f"{number}. {one.sentence}" for number, one in enumerate((fact, *others), start=1)]
        return "\n".join(lines), {"lines": 3, "starts": "1. ", "subject": fact.subject}
    if style == "word":
        word = fact.word.split()[-1]
        return f"{word[0].upper()}{word[1:]}.", {"words": 1}
    forms: dict[str, tuple[str, dict[str, object]]] = {
        "pirate": (f"Arr! {told[:-1]}, matey!", {"starts": "Arr!", "ends": "matey!"}),
        "king": (f"Hear me! {told} So says the king.", {"starts": "Hear me!", "ends": "So says the king."}),
        "robot": (f"Beep. {told} Boop.", {"starts": "Beep.", "ends": "Boop."}),
        "capitals": (told.upper(), {"upper": True}),
        "quotes": (f'"{told}"', {"starts": '"', "ends": '"'}),
        "ending": (f"{told} {phrase}", {"ends": phrase}),
        "start": (f"{phrase} {told}", {"starts": phrase}),
    }
    return forms[style]
