"""Small curves side by side on one scale, drawn by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kubeline.printable import rounded
from kubeline.reports.bars import short

_WIDE, _HIGH = 230, 110  # pixels, of the area of a curve
_LEFT, _TOP, _ROW, _BOTTOM = 46, 26, 17, 22
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" style="fill:var(--{})"{}>{}</text>')
_LINE = Markup('<path d="M{:.1f} {:.1f}L{:.1f} {:.1f}" style="stroke:var(--grid)"/>')
_DOT = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" style="fill:var(--model)"><title>{}: {}</title></circle>')
_BOLD = Markup(' font-weight="bold"')


@dataclass(frozen=True)
class Curve:
    """One drawing.

    Attributes:
        title: what goes along.
        names: of its values, as text.
        positions: of its values, as rising numbers; None where they have no order, which is drawn as a list.
        heights: for each value.
    """

    title: str
    names: tuple[str, ...]
    positions: tuple[float, ...] | None
    heights: tuple[float, ...]


def figure_of_curves(curves: Sequence[Curve], caption: str) -> Markup:
    """Drawings on one scale, side by side where there is room, as inline SVG in the colours of the page.

    Args:
        curves: one or more, each of two values or more.
        caption: of the whole, and with the values the text alternative of each.
    """
    every = [height for curve in curves for height in curve.heights]
    low, high = min(every), max(every)
    ends = (low, high) if high > low else (low - 0.5, high + 0.5)
    drawn = Markup("").join(
        (_listed if curve.positions is None else _drawn)(curve, curve.positions or (), ends, caption)
        for curve in curves
    )
    return Markup('<figure><div class="drawings">{}</div><figcaption>{}</figcaption></figure>').format(drawn, caption)


def _drawn(curve: Curve, positions: tuple[float, ...], ends: tuple[float, float], caption: str) -> Markup:
    """A line over numbers."""
    first, span = positions[0], positions[-1] - positions[0]
    places = [
        (_LEFT + (at - first) / span * _WIDE, _TOP + (1 - _share(height, ends)) * _HIGH)
        for at, height in zip(positions, curve.heights, strict=True)
    ]
    bottom = _TOP + _HIGH
    levels = [(share, ends[0] + share * (ends[1] - ends[0])) for share in (0, 0.5, 1)]
    parts = [
        *(_LINE.format(_LEFT, bottom - share * _HIGH, _LEFT + _WIDE, bottom - share * _HIGH) for share, _ in levels),
        *(
            _TEXT.format(_LEFT - 6, bottom - share * _HIGH + 4, "end", "soft", "", rounded(level, 2))
            for share, level in levels
        ),
        _TEXT.format(_LEFT, bottom + 16, "start", "soft", "", curve.names[0]),
        _TEXT.format(_LEFT + _WIDE, bottom + 16, "end", "soft", "", curve.names[-1]),
        Markup('<path d="M{}" style="fill:none;stroke:var(--model);stroke-width:2"/>').format(
            "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        ),
        *_dots(curve, places, 2.2),
    ]
    return _whole(curve, parts, _LEFT + _WIDE + 4, bottom + _BOTTOM, caption)


def _listed(curve: Curve, _: tuple[float, ...], ends: tuple[float, float], caption: str) -> Markup:
    """A dot in the row of each value."""
    left = 6.2 * max(len(short(name)) for name in curve.names) + 14
    bottom = _TOP + _ROW * len(curve.names)
    places = [
        (left + _share(height, ends) * _WIDE, _TOP + _ROW * (row + 0.5)) for row, height in enumerate(curve.heights)
    ]
    parts = [
        *(_LINE.format(left + share * _WIDE, _TOP, left + share * _WIDE, bottom) for share in (0, 0.5, 1)),
        *(
            _TEXT.format(left + share * _WIDE, bottom + 16, anchor, "soft", "", rounded(level, 2))
            for share, level, anchor in (
                (0, ends[0], "start"),
                (0.5, (ends[0] + ends[1]) / 2, "middle"),
                (1, ends[1], "end"),
            )
        ),
        *(
            _TEXT.format(left - 8, y + 4, "end", "soft", "", short(name))
            for name, (_, y) in zip(curve.names, places, strict=True)
        ),
        *_dots(curve, places, 4),
    ]
    return _whole(curve, parts, left + _WIDE + 6, bottom + _BOTTOM, caption)


def _dots(curve: Curve, places: Sequence[tuple[float, float]], radius: float) -> list[Markup]:
    return [
        _DOT.format(x, y, radius, name, rounded(height, 3))
        for (x, y), name, height in zip(places, curve.names, curve.heights, strict=True)
    ]


def _share(height: float, ends: tuple[float, float]) -> float:
    return (height - ends[0]) / (ends[1] - ends[0])


def _whole(curve: Curve, parts: Sequence[Markup], width: float, height: float, caption: str) -> Markup:
    title = _TEXT.format(0, 13, "start", "ink", _BOLD, short(curve.title))
    svg = Markup(
        '<svg role="img" aria-label="{0}" viewBox="0 0 {1:.0f} {2}" width="{1:.0f}" font-size="11">{3}{4}</svg>'
    )
    values = zip(curve.names, curve.heights, strict=True)
    said = "; ".join(f"{name} {rounded(height, 3)}" for name, height in values)
    label = f"{curve.title}: {caption} {said}"
    return Markup('<div class="scroll" tabindex="0" style="--least:{:.0f}px">{}</div>').format(
        width, svg.format(label, width, f"{height:.0f}", title, Markup("").join(parts))
    )
