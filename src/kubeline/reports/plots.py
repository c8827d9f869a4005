"""One style for the figures of all reports.

>>> with style():
...     figure, ax = axes()
...     lines = ax.plot([0, 1], [0, 1], color=MODEL)
"""

import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from kubeline.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a colour stands for, in every report.
MODEL = "#1f5fbf"  # the model or the window that the report is about
CHAMPION = "#d9822b"  # what it is compared with
NEUTRAL = "#8a97a6"  # a constant guess, a diagonal, a reference line
BAD = "#b3261e"  # what is flagged
INK = "#1b2430"
ON_TINT = "#0b1420"  # text on a coloured background, which is the same in light and dark mode
_GRID = "#e6ebf0"
_TICKS = "#5b6878"

# The page gives them other values in dark mode.
_VARIABLES = {
    MODEL: "--model",
    CHAMPION: "--champion",
    NEUTRAL: "--neutral",
    BAD: "--bad",
    INK: "--ink",
    _GRID: "--grid",
    _TICKS: "--soft",
}
_STYLED = re.compile(r'style="[^"]*"')
_COLOUR = re.compile("|".join(_VARIABLES))

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": NEUTRAL,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _TICKS,
    "ytick.color": _TICKS,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are drawn in the style of the reports."""
    import matplotlib as mpl

    return mpl.rc_context(_STYLE)


def plain(words: object) -> str:
    """The words as they are, for text in a figure: matplotlib would take what stands between dollars for a formula."""
    return printable(str(words)).replace("$", r"\$")


def themed(svg: str) -> str:
    """A figure as SVG, with the variables of the page in place of the colours that stand for something."""

    def one_style(found: re.Match[str]) -> str:
        return _COLOUR.sub(lambda colour: f"var({_VARIABLES[colour[0]]})", found[0])

    return _STYLED.sub(one_style, svg)


def axes(width: float = 3.8, height: float = 3.2) -> "tuple[Figure, Axes]":
    """A figure with axes of `width` x `height` inches, apart from pyplot's global state.

    The report crops a figure to what is drawn, so that no layout engine has to measure every text first, which
    takes longer than the drawing. What belongs side by side is drawn as several figures: the page puts them beside or
    below each other, as there is room.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_axes((0, 0, 1, 1))
