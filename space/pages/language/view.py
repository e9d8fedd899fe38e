"""A comparison as HTML: what came of it in words, then one card per model with its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mergeguard_hub.audit.tasks import Token
from space.pages.language.compare import Answer, Comparison
from space.pages.language.words import lead, reference
from space.zoo.language.tasks import LONGEST_ANSWER

# From which probability on a token has which underline; what is sure has none.
_LEVELS = ((0.9, "sure", "90% and more"), (0.5, "likely", "50 to 90%"), (0.0, "unsure", "under 50%"))


def render(comparison: Comparison) -> str:
    """Return what is known so far of all five; everything that a visitor or a model wrote is escaped."""
    said = lead(comparison)
    verdict = f'<p class="mg-verdict" role="status">{escape(said)}</p>' if said else ""
    measured = f"<p>{escape(reference(comparison))}</p>" if said and comparison.known else ""
    cards = "".join(_card(answer, comparison) for answer in comparison.answers)
    return (
        f'<div class="mg-result">{verdict}{measured}{_asked(comparison)}<div class="mg-cards">{cards}</div>'
        f"{_legend()}</div>"
    )


def render_chat(turns: Sequence[Comparison]) -> str:
    """Return a conversation, the last turn at its end."""
    if not turns:
        return '<div class="mg-result"><p class="mg-note">Nothing was said yet.</p></div>'
    items = "".join(f"<li>{_asked(turn)}{_reply(turn)}</li>" for turn in turns)
    return f'<div class="mg-result"><ol class="mg-chat" aria-label="Conversation">{items}</ol></div>'


def _asked(comparison: Comparison) -> str:
    return f'<p class="mg-asked"><b>Question</b><span{_font(comparison)}>{escape(comparison.question)}</span></p>'


def _card(answer: Answer, comparison: Comparison) -> str:
    column = answer.column
    waiting = "" if answer.tokens else " mg-waiting"
    return (
        f'<section class="mg-card{waiting}" data-column="{column.name}"><h3>{escape(column.title)}</h3>'
        f'<p class="mg-note">{escape(column.note)}</p>{_said(answer, comparison)}{_judged(answer, comparison)}'
        f'<p class="mg-note">{_measures(answer)}</p></section>'
    )


def _reply(turn: Comparison) -> str:
    (answer,) = turn.answers
    who = f'<b>{escape(answer.column.title)}</b> <span class="mg-note">{escape(_source(turn))}</span>'
    said = f"{_said(answer, turn)}{_judged(answer, turn)}"
    return f'<div class="mg-reply">{who}{said}<p class="mg-note">{_measures(answer)}</p></div>'


def _source(turn: Comparison) -> str:
    """Return what the one model of a turn was made of."""
    choice, name = turn.choice, turn.answers[0].column.name
    if choice is None:
        return ""
    merge = f"{choice.defender} with {choice.partner}, {choice.merge} {choice.weight:g}"
    made = {"defender": choice.defender, "partner": choice.partner, "control": merge}
    return made.get(name, f"{choice.defender if name == 'protected' else merge}, {choice.protection}")


def _said(answer: Answer, comparison: Comparison) -> str:
    tail = "" if answer.is_whole else '<i class="mg-caret" aria-hidden="true"></i>'
    return f'<div class="mg-said"><span{_font(comparison)}>{"".join(_spans(answer.tokens))}</span>{tail}</div>'


def _font(comparison: Comparison) -> str:
    """Return the class of a text in which indents count."""
    return ' class="mg-code"' if "def " in comparison.question else ""


def _spans(tokens: tuple[Token, ...]) -> Iterator[str]:
    """Return each piece of text that was written with its probability; tokens without a text count to the next."""
    probability = 1.0
    for token in tokens:
        probability *= token.probability
        if token.text:
            level = next(name for lowest, name, _ in _LEVELS if probability >= lowest)
            yield f'<span class="mg-{level}" title="{_percent(probability)}">{escape(token.text)}</span>'
            probability = 1.0


def _judged(answer: Answer, comparison: Comparison) -> str:
    if not answer.is_whole:
        return '<p class="mg-judged"></p>'
    if comparison.choice is None:
        return '<p class="mg-judged">no verdict: not a model of this page</p>'
    if comparison.known is None:
        return '<p class="mg-judged">no verdict: not a question of the test set</p>'
    if answer.verdict is None:
        return '<p class="mg-judged">judging</p>'
    mark, kind = ("✓", "right") if answer.verdict.right else ("✗", "wrong")
    return (
        f'<p class="mg-judged mg-is-{kind}"><span aria-hidden="true">{mark}</span> <b>{kind}</b> '
        f"({escape(answer.verdict.words)})</p>"
    )


def _measures(answer: Answer) -> str:
    """Return the length and the mean probability, for those who see no underline."""
    if not answer.tokens:
        return ""
    mean = sum(token.probability for token in answer.tokens) / len(answer.tokens)
    cut = f", cut after {LONGEST_ANSWER}" if answer.is_cut else ""
    return f"{len(answer.tokens)} tokens{cut}; mean probability {_percent(mean)}"


def _legend() -> str:
    shown = ", ".join(f'<span class="mg-{name}">{words}</span>' for _, name, words in _LEVELS)
    return (
        f'<p class="mg-note">Underlines: the probability that the model gave to each token ({shown}). Every model '
        f"writes the likeliest token at each step, at most {LONGEST_ANSWER} of them.</p>"
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}%"
