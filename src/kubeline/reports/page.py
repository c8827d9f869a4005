"""One report page, built from a few kinds of block."""

import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, Template
from markupsafe import Markup, escape

from kubeline import __version__
from kubeline.artifacts import publish
from kubeline.printable import printable, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tone = Literal["good", "bad", "warn", "plain"]

MOST_ROWS = 500  # of a table
_MOST_LETTERS = 700_000  # of its rows: bars and long names would make 500 of them a megabyte
_SCROLLS = 'class="scroll" tabindex="0"'  # of a box; in a word of a table its quotes are escaped
_SENTENCE = 32  # characters; a longer cell needs a line of its own on a narrow screen
_PIXELS_PER_POINT = 4 / 3
_SMALLEST = 0.8  # of its size, at which the text of a figure is still legible


class Report:
    """A page of headed sections, written as one HTML file.

    Every string given is escaped; the block functions of this module return safe markup. A Content-Security-Policy
    lets the page load nothing and run nothing.
    """

    def __init__(self, title: str, subtitle: str = "", refresh: int = 0):
        self.title = title
        self.subtitle = subtitle
        self.refresh = refresh  # seconds after which a browser loads it anew; 0: never
        self._sections: list[tuple[str, list[Markup]]] = []

    def add(self, heading: str, *blocks: Markup) -> None:
        """Add a section."""
        self._sections.append((heading, list(blocks)))

    def html(self) -> str:
        """The page as text."""
        page = _template().render(
            title=self.title,
            subtitle=self.subtitle,
            refresh=self.refresh,
            sections=self._sections,
            named=_named,
            version=__version__,
        )
        return printable(page)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to `path`, whole or not at all."""
        with publish(path) as partial:
            partial.write_text(self.html(), encoding="utf-8")


def _named(block: Markup, heading: str) -> Markup:
    """What scrolls is a stop of the keyboard: a screen reader says there under which heading it is."""
    named = f'{_SCROLLS} role="group" aria-label="{escape(heading)}"'
    return Markup(str(block).replace(_SCROLLS, named))  # noqa: S704 (of what was safe before, and escaped)


@cache
def _template() -> Template:
    source = files("kubeline.reports").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


def text(words: str) -> Markup:
    """A paragraph."""
    return Markup("<p>{}</p>").format(words)


def verdict(word: str, tone: Tone, reasons: Iterable[str] = ()) -> Markup:
    """A coloured verdict with the reasons for it."""
    items = Markup("").join(Markup("<li>{}</li>").format(reason) for reason in reasons)
    listed = Markup("<ul>{}</ul>").format(items) if items else Markup("")
    return Markup('<div class="verdict {}"><strong>{}</strong>{}</div>').format(tone, word, listed)


def facts(values: Mapping[str, Any]) -> Markup:
    """Names and values side by side."""
    pairs = (Markup("<dt>{}</dt><dd>{}</dd>").format(name, _cell(value)) for name, value in values.items())
    return Markup("<dl>{}</dl>").format(Markup("").join(pairs))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> Markup:
    """A table; numbers are right-aligned, under a head that is too, and rounded to four significant digits.

    The first `MOST_ROWS` are shown, fewer of long ones, and it is said of how many: no one reads thousands, and no page
    may outgrow its reader. On a narrow screen a table with sentences in it shows each row as a list of its cells; any
    other scrolls in its box beside its first column, which stays.
    """
    every = list(rows)
    given = every[:MOST_ROWS]
    cells = [[_cell(value) for value in row] for row in given]
    kinds = [
        "number" if any(_kind(row[place]) == "number" for row in given) else "text" for place in range(len(columns))
    ]
    stacked = any(len(_words(cell)) > _SENTENCE for row in cells for cell in row)
    head = Markup("").join(map(Markup("<th scope=col class={}>{}</th>").format, kinds, columns))
    drawn, letters = list[Markup](), 0
    for row in zip(cells, given, strict=True):
        drawn.append(Markup("<tr>{}</tr>").format(_row(*row, columns if stacked else ())))
        letters += len(drawn[-1])
        if letters > _MOST_LETTERS:
            break
    if len(drawn) < len(every):
        note = f"The first {len(drawn):,} of {len(every):,} rows. {note}".strip()
    caption = Markup("<p class=note>{}</p>").format(note) if note else Markup("")
    return Markup(
        '<div class="scroll" tabindex="0"><table class="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}'
    ).format("stacked" if stacked else "plain", head, Markup("").join(drawn), caption)


def figure(drawings: "Figure | Sequence[Figure]", caption: str) -> Markup:
    """Matplotlib figures, side by side where there is room, as inline SVG in the colours of the page.

    On a narrow screen one that would become too small to read scrolls in its box. The caption is the text alternative
    of each. Closes the figures.
    """
    each = drawings if isinstance(drawings, Sequence) else [drawings]
    drawn = Markup("").join(_drawn(drawing, caption) for drawing in each)
    return Markup('<figure><div class="drawings">{1}</div><figcaption>{0}</figcaption></figure>').format(caption, drawn)


def _drawn(drawing: "Figure", caption: str) -> Markup:
    import matplotlib.pyplot as plt

    from kubeline.reports.plots import themed

    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "kubeline", "svg.fonttype": "none"}):
        drawing.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(drawing)
    svg = buffer.getvalue()
    svg = themed(svg[svg.index("<svg") :]).replace("<svg", Markup('<svg role="img" aria-label="{}"').format(caption), 1)
    width = float(found[1]) if (found := re.search(r'width="([\d.]+)pt"', svg)) else 0.0
    least = round(width * _PIXELS_PER_POINT * _SMALLEST)
    return Markup('<div class="scroll" tabindex="0" style="--least:{}px">{}</div>').format(least, Markup(svg))  # noqa: S704 (matplotlib escapes the text it draws)


def _row(cells: Sequence[Markup | str], values: Sequence[Any], labels: Sequence[str]) -> Markup:
    named = [Markup(' data-label="{}"').format(label) for label in labels] or [Markup("")] * len(cells)
    return Markup("").join(
        Markup("<td class={}{}>{}</td>").format(_kind(value), label, cell)
        for cell, value, label in zip(cells, values, named, strict=True)
    )


def _words(cell: Markup | str) -> str:
    """What a cell shows as text."""
    return cell.striptags() if isinstance(cell, Markup) else cell


def _kind(value: Any) -> str:
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "text"


def _cell(value: Any) -> Markup | str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
