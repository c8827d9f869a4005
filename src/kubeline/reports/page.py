"""One report page, built from a few kinds of block."""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment
from markupsafe import Markup

from kubeline import __version__
from kubeline.artifacts import publish

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tone = Literal["good", "bad", "warn", "plain"]


class Report:
    """A page of headed sections, written as one HTML file.

    Every string given is escaped; the block functions of this module return safe markup.
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title = title
        self.subtitle = subtitle
        self._sections: list[tuple[str, list[Markup]]] = []

    def add(self, heading: str, *blocks: Markup) -> None:
        """Add a section."""
        self._sections.append((heading, list(blocks)))

    def html(self) -> str:
        """The page as text."""
        template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
            files("kubeline.reports").joinpath("page.html.jinja").read_text(encoding="utf-8")
        )
        return template.render(title=self.title, subtitle=self.subtitle, sections=self._sections, version=__version__)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to `path`, whole or not at all."""
        with publish(path) as partial:
            partial.write_text(self.html(), encoding="utf-8")


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
    """A table; numbers are right-aligned, under a head that is too, and rounded to four significant digits."""
    rows = list(rows)
    kinds = [
        "number" if any(_kind(row[place]) == "number" for row in rows) else "text" for place in range(len(columns))
    ]
    head = Markup("").join(map(Markup("<th class={}>{}</th>").format, kinds, columns))
    body = Markup("").join(Markup("<tr>{}</tr>").format(_row(row)) for row in rows)
    caption = Markup("<p class=note>{}</p>").format(note) if note else Markup("")
    return Markup('<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}').format(
        head, body, caption
    )


def figure(drawing: "Figure", caption: str) -> Markup:
    """A matplotlib figure as inline SVG; the caption is its text alternative too. Closes the figure."""
    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "kubeline", "svg.fonttype": "none"}):
        drawing.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(drawing)
    svg = buffer.getvalue()
    drawn = Markup(svg[svg.index("<svg") :])  # noqa: S704 (matplotlib escapes the text it draws)
    return Markup('<figure role="img" aria-label="{0}">{1}<figcaption>{0}</figcaption></figure>').format(caption, drawn)


def _row(row: Sequence[Any]) -> Markup:
    return Markup("").join(Markup("<td class={}>{}</td>").format(_kind(value), _cell(value)) for value in row)


def _kind(value: Any) -> str:
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "text"


def _cell(value: Any) -> Markup | str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
