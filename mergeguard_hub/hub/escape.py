"""Names from elsewhere, written into Markdown so that they are read as names and do nothing else."""

from __future__ import annotations

import re
import string

_LONGEST = 100  # characters of a name on a card, our choice
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#!|~^$@])")


def plain(text: object) -> str:
    r"""Return a name on one line, cut where it is very long, without characters that print nothing or steer a reader.

    >>> plain("a\nb\u202ec")
    'a b c'
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    words = words.replace("<!--", "<! --").replace("-->", "-- >")  # which would open or close one of our blocks
    words = words.replace("://", ": //").replace("www.", "www .")  # which some readers make a link of
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "\u2026"


def markdown(text: object) -> str:
    r"""Return a name as text: no HTML, no link, no heading, no cell of a table comes of it.

    >>> markdown("<b>[x](y)|")
    '&lt;b&gt;\\[x\\]\\(y\\)\\|'
    """
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", escaped)


def code(text: object) -> str:
    r"""Return a name as code; a name with a backtick loses it, because no fence is safe in a table.

    >>> code("a`b|c")
    "`a'b\\|c`"
    """
    return "`" + (plain(text).replace("`", "'").replace("|", "\\|") or " ") + "`"


def quoted(text: object) -> str:
    """Return a name as a string of Python and of the shell, inside a fenced block.

    >>> quoted("org/model"), quoted('a"; rm')
    ('"org/model"', '"a_ rm"')
    """
    allowed = set(string.ascii_letters + string.digits + "-_./ ")
    kept = "".join(c if c in allowed else "_" for c in plain(text))
    return '"' + re.sub("_+", "_", kept) + '"'
