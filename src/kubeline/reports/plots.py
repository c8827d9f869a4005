"""One look for the figures of all reports.

>>> with style():
...     figure, (left, right) = axes(2)
...     left.plot([0, 1], [0, 1], color=MODEL)
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a colour stands for, in every report.
MODEL = "#1f5fbf"  # the model or the window that the report is about
CHAMPION = "#d9822b"  # what it is compared with
NEUTRAL = "#8a97a6"  # a constant guess, a diagonal, a reference line
BAD = "#b3261e"  # what is flagged
INK = "#1b2430"
_GRID = "#e6ebf0"

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
    "xtick.color": "#5b6878",
    "ytick.color": "#5b6878",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are drawn in the look of the reports."""
    import matplotlib as mpl

    return mpl.rc_context(_STYLE)


def plain(words: object) -> str:
    """The words as they are, for text in a figure: matplotlib would take what stands between dollars for a formula."""
    return str(words).replace("$", r"\$")


def axes(columns: int = 1, width: float = 4.4, height: float = 3.4) -> "tuple[Figure, list[Axes]]":
    """A figure with `columns` axes side by side, each `width` x `height` inches, apart from pyplot's global state.

    The report crops a figure to what is drawn, so that no layout engine has to measure every text first, which
    takes longer than the drawing.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height))
    room = {"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.25}
    return figure, list(figure.subplots(1, columns, squeeze=False, gridspec_kw=room)[0])
