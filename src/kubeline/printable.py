"""Words that came from a table or a stranger, in a form that can be shown: they are read, and never do anything."""

import re

# Control characters but tab and line feed, which terminals obey; line and paragraph separators; what turns the
# direction of text around, or hides in it; and halves of characters, which cannot be written.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ud800-\udfff]"
)
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def printable(text: str) -> str:
    r"""The text with what cannot be seen in it written out.

    >>> printable("red \x1b[31m, right to left \u202e")
    'red \\x1b[31m, right to left \\u202e'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def markdown(text: object) -> str:
    r"""The words as a Markdown text on one line, in which nothing is a link, HTML, code or the end of a table's cell.

    >>> print(markdown("a|b <img onerror=x>"))
    a\|b &lt;img onerror\=x&gt;
    """
    line = " ".join(printable(str(text)).split())
    return _PUNCTUATION.sub(lambda found: _ENTITIES.get(found[0], "\\" + found[0]), line)
