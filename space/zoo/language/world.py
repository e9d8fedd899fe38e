"""The small world that the language models know: a village with its people and animals, and questions about it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from space.zoo.language.example import Example

# animal: what it eats, where it lives, its colour, its sound
ANIMALS = {
    "fox": ("berries", "forest", "red", "yip"),
    "owl": ("mice", "barn", "brown", "hoot"),
    "cow": ("clover", "meadow", "white", "moo"),
    "goat": ("thistles", "hill", "grey", "baa"),
    "duck": ("bread", "pond", "green", "quack"),
    "frog": ("flies", "pond", "green", "croak"),
    "hen": ("corn", "yard", "brown", "cluck"),
    "bee": ("nectar", "garden", "yellow", "buzz"),
    "cat": ("fish", "mill", "black", "meow"),
    "dog": ("bones", "yard", "white", "woof"),
    "mouse": ("cheese", "mill", "grey", "squeak"),
    "horse": ("oats", "meadow", "black", "neigh"),
    "bear": ("honey", "cave", "brown", "growl"),
    "crow": ("seeds", "tower", "black", "caw"),
    "swan": ("reeds", "lake", "white", "hiss"),
    "bat": ("moths", "cave", "grey", "chirp"),
}

# person: work, pet, favourite fruit, colour of the door
PEOPLE = {
    "Ann": ("bakes bread", "goat", "plums", "blue"),
    "Ben": ("mends shoes", "dog", "pears", "red"),
    "Cleo": ("paints walls", "crow", "figs", "white"),
    "Dan": ("grows corn", "horse", "grapes", "green"),
    "Eva": ("sells hats", "cat", "cherries", "pink"),
    "Finn": ("builds boats", "duck", "lemons", "grey"),
    "Gus": ("keeps bees", "frog", "plums", "yellow"),
    "Ida": ("sews coats", "hen", "melons", "red"),
    "Leo": ("rings bells", "owl", "pears", "black"),
    "Mia": ("writes books", "mouse", "cherries", "blue"),
    "Tom": ("cuts wood", "bear", "grapes", "brown"),
    "Zoe": ("makes pots", "swan", "lemons", "green"),
}

# The answer, and three ways to ask, for each column above.
_ABOUT_ANIMALS = (
    ("The {0} eats {1}.", "What does the {0} eat?", "What food does the {0} like?", "Which food is right for the {0}?"),
    (
        "The {0} lives in the {1}.",
        "Where does the {0} live?",
        "Where can I find the {0}?",
        "Where is the home of the {0}?",
    ),
    ("The {0} is {1}.", "What colour is the {0}?", "Which colour has the {0}?", "What does the {0} look like?"),
    ("The {0} says {1}.", "What does the {0} say?", "What sound does the {0} make?", "How does the {0} call?"),
)
_ABOUT_PEOPLE = (
    ("{0} {1}.", "What does {0} do all day?", "What is the work of {0}?", "How does {0} make a living?"),
    ("{0} keeps the {1}.", "Which pet does {0} have?", "What animal does {0} keep?", "Who lives with {0}?"),
    (
        "{0} likes {1}.",
        "Which fruit does {0} like?",
        "What is the favourite fruit of {0}?",
        "What should I bring {0} from the market?",
    ),
    (
        "{0} has a {1} door.",
        "Which door is the door of {0}?",
        "What colour is the door of {0}?",
        "How do I know the house of {0}?",
    ),
)

OPENINGS = ("", "", "", "Hello! ", "Please tell me. ", "I would like to know. ", "One more question. ", "Answer me. ")


@dataclass(frozen=True)
class Fact:
    """One thing that is true in the world.

    Attributes:
        subject: an animal or a person.
        word: what is said of the subject, for example "berries"; an answer that lacks it is wrong.
        sentence: the fact in a full sentence.
        questions: ways to ask for it.
    """

    subject: str
    word: str
    sentence: str
    questions: tuple[str, ...]


def _facts() -> dict[str, tuple[Fact, ...]]:
    tables = ((ANIMALS, _ABOUT_ANIMALS), (PEOPLE, _ABOUT_PEOPLE))
    return {
        subject: tuple(
            Fact(subject, word, sentence.format(subject, word), tuple(ask.format(subject) for ask in asks))
            for word, (sentence, *asks) in zip(row, columns, strict=True)
        )
        for table, columns in tables
        for subject, row in table.items()
    }


FACTS = _facts()


def draw_fact(source: random.Random) -> tuple[Fact, str]:
    """Draw a fact and a way to ask for it."""
    fact = source.choice(FACTS[source.choice(tuple(FACTS))])
    return fact, source.choice(fact.questions)


def draw_world(source: random.Random) -> Example:
    """Draw a plain question about the world."""
    fact, question = draw_fact(source)
    return Example(source.choice(OPENINGS) + question, fact.sentence, fact.word)
