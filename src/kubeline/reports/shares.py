"""Two parts of a whole over time, drawn by hand: the image that rolls out needs no library for one figure."""

import math
from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 640, 230  # pixels, of which the axes take:
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 42
_LEAST = 420  # pixels of width at which the words are still legible
_MOST_TICKS = 7
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" style="fill:var(--{})">{}</text>')
_LINE = Markup('<path d="M{:.1f} {:.1f}H{:.1f}" style="stroke:var(--grid)"/>')


def figure_of_shares(points: Sequence[tuple[float, float]], labels: tuple[str, str], caption: str) -> Markup:
    """An inline SVG of the lower part's share, each from its time to the next one's, with the upper part above it.

    Args:
        points: seconds and percent, by time, one or more.
        labels: of the lower and of the upper part.
        caption: the text alternative as well.
    """
    begun, ended = points[0][0], points[-1][0]
    span = (ended - begun) or 1.0
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(seconds: float) -> float:
        return _LEFT + (seconds - begun) / span * (right - _LEFT)

    def down(percent: float) -> float:
        return bottom - percent / 100 * (bottom - _TOP)

    steps = f"M{_LEFT} {bottom}V{down(points[0][1]):.1f}"
    steps += "".join(f"H{across(time):.1f}V{down(percent):.1f}" for time, percent in points[1:])
    parts = [
        Markup('<rect x="{}" y="{}" width="{}" height="{}" style="fill:var(--champion)" opacity=".85"/>').format(
            _LEFT, _TOP, right - _LEFT, bottom - _TOP
        ),
        Markup('<path d="{}H{}V{}Z" style="fill:var(--model)"/>').format(steps, right, bottom),
        *(_LINE.format(_LEFT, down(percent), right) for percent in (0, 50, 100)),
        *(_TEXT.format(_LEFT - 6, down(percent) + 4, "end", "soft", f"{percent} %") for percent in (0, 50, 100)),
        *(_TEXT.format(across(begun + tick), bottom + 16, "middle", "soft", f"{tick:g}") for tick in _ticks(span)),
        _TEXT.format((_LEFT + right) / 2, _HEIGHT - 6, "middle", "ink", "seconds since the beginning"),
        *_legend(labels),
    ]
    svg = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" font-size="12">{}</svg>').format(
        caption, _WIDTH, _HEIGHT, _WIDTH, Markup("").join(parts)
    )
    return Markup(
        '<figure><div class="drawings"><div class="scroll" tabindex="0" style="--least:{}px">{}</div></div>'
        "<figcaption>{}</figcaption></figure>"
    ).format(_LEAST, svg, caption)


def _legend(labels: tuple[str, str]) -> list[Markup]:
    """The names on a plate of the page's own colour, in the upper left corner."""
    width = 34 + 7 * max(map(len, labels))
    plate = Markup('<rect x="{}" y="{}" width="{}" height="44" rx="3" style="fill:var(--paper)" opacity=".9"/>')
    parts = [plate.format(_LEFT + 8, _TOP + 8, width)]
    for row, (label, colour) in enumerate(zip(labels, ("model", "champion"), strict=True)):
        top = _TOP + 15 + 18 * row
        square = Markup('<rect x="{}" y="{}" width="12" height="12" style="fill:var(--{})"/>')
        parts.append(square.format(_LEFT + 14, top, colour))
        parts.append(_TEXT.format(_LEFT + 32, top + 10.5, "start", "ink", label))
    return parts


def _ticks(span: float) -> list[float]:
    """Round numbers from 0 to `span`, a few of them."""
    power = 10.0 ** math.floor(math.log10(span / _MOST_TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= _MOST_TICKS)
    return [number * step for number in range(int(span / step + 1e-9) + 1)]
