"""Words that came from a table or a stranger, in a form that can be shown: they are read, and never do anything."""

import json
import re

# Control characters but tab and line feed, which terminals obey; line and paragraph separators; what turns the
# direction of text around, or hides in it; and halves of characters, which cannot be written.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ud800-\udfff]"
)
# What Markdown takes as markup wherever it stands, with GitHub's tables, formulas, footnotes and bare addresses.
# An underscore within a word is none, nor is a bracket that nothing follows: figures have intervals in brackets.
_MARKUP = re.compile(
    r"[\\`*|~<>$@]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:{])|\[(?=[\^!])|(?<=:)/(?=/)|(?<=www)\."
)
# And at the begin of a line: headings, lists, rules, boxes to tick, comments.
_BEGIN = re.compile(r"^(\d{0,9})([.)](?=\s|$)|[-+=#:](?=\s|[-+=#:]|$)|\[(?=[ xX]\])|%)")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_GREAT = 1e15  # from which on a number is written with a power of ten


def printable(text: str) -> str:
    r"""The text with what cannot be seen in it written out.

    >>> printable("red \x1b[31m, right to left \u202e")
    'red \\x1b[31m, right to left \\u202e'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_text(text: str) -> bool:
    """Whether it can be written at all: half of a surrogate pair, as JSON and YAML can spell it, cannot."""
    return not re.search("[\ud800-\udfff]", text)


def markdown(text: object) -> str:
    r"""The words as a Markdown text on one line, in which nothing is a link, HTML, code or the end of a table's cell.

    >>> print(markdown("a|b <img onerror=x> of is_late, 0.5"))
    a\|b &lt;img onerror=x&gt; of is_late, 0.5
    """
    line = " ".join(printable(str(text)).split())
    escaped = _MARKUP.sub(lambda found: _ENTITIES.get(found[0], "\\" + found[0]), line)
    return _BEGIN.sub(r"\1\\\2", escaped)


def shown(value: object) -> str:
    """A value of a parameter for people: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def unbroken(words: str) -> str:
    """The same words on one line of a page."""
    return words.replace(" ", "\u00a0")


def shortened(words: str, most: int) -> str:
    """The words, of which the end is left out where they are more than so many characters."""
    return words if len(words) <= most else words[: most - 1] + "…"


def p_words(p_value: float) -> str:
    """A p-value for people.

    >>> p_words(0.0314), p_words(9.6e-17)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def rounded(value: float, digits: int = 4, sign: bool = False) -> str:
    """A number for people: so many digits, but all of thousands, and no minus before a zero.

    >>> [rounded(value) for value in (0.123456, -0.0, 206_855.4, 1234.0, 1.25e-7, 3e20)]
    ['0.1235', '0', '206,855', '1,234', '1.25e-7', '3e20']
    """
    plus = "+" if sign else ""
    size = abs(value)
    if 1000 <= size < _GREAT:
        return f"{value:{plus},.0f}"
    if size == 0:
        return "0"
    text = f"{value:{plus}.{digits}g}"
    return re.sub(r"e([-+])0*(\d)", lambda power: f"e{power[1].strip('+')}{power[2]}", text)
