"""Pairs of bars, drawn by hand: to import a library for them takes longer than to count a table."""

from collections.abc import Sequence

from markupsafe import Markup

from kubeline.printable import printable, shortened

Bar = tuple[str, float, float]  # what it is of, and the two shares

_BARS = 12  # of one drawing
_LETTERS = 26  # of one label
_LETTER, _SPACE, _LONGEST = 7.2, 8, 130  # pixels: of a letter, beside labels, of the longest bar
_ROW, _THICK, _TOP, _BOTTOM = 24, 9, 46, 22
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" style="fill:var(--{})"{}>{}</text>')
_BAR = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" style="fill:var(--{})"/>')
_LINE = Markup('<path d="M{:.1f} {}V{}" style="stroke:var(--grid)"/>')
_BOLD = Markup(' font-weight="bold"')
_COLOURS = ("neutral", "model")


def figure_of_bars(drawings: Sequence[tuple[str, Sequence[Bar]]], labels: tuple[str, str], caption: str) -> Markup:
    """Drawings side by side where there is room, each a title and its bars, as inline SVG in the colours of the page.

    Of more than twelve bars the eleven longest are drawn, and the rest as one.

    Args:
        drawings: their titles are short; shares are from 0 to 1.
        labels: of the first and of the second bar of each pair.
        caption: of the whole, and with the numbers the text alternative of each.
    """
    drawn = Markup("").join(_drawing(title, _longest(bars), labels, caption) for title, bars in drawings)
    return Markup('<figure><div class="drawings">{}</div><figcaption>{}</figcaption></figure>').format(drawn, caption)


def short(words: str) -> str:
    """At most so many letters of a label as there is room for."""
    return shortened(printable(words), _LETTERS)


def _longest(bars: Sequence[Bar]) -> list[Bar]:
    if len(bars) <= _BARS:
        return list(bars)
    ranked = sorted(bars, key=lambda bar: -bar[1] - bar[2])
    rest = ranked[_BARS - 1 :]
    return [*ranked[: _BARS - 1], (f"{len(rest)} more", sum(bar[1] for bar in rest), sum(bar[2] for bar in rest))]


def _drawing(title: str, bars: Sequence[Bar], labels: tuple[str, str], caption: str) -> Markup:
    names = [short(name) for name, _, _ in bars]
    left = _LETTER * max(map(len, names)) + _SPACE
    width = max(left + _LONGEST + 3 * _SPACE, _LETTER * 1.15 * len(title))
    bottom = _TOP + _ROW * len(bars)
    greatest = max(max(first, second) for _, first, second in bars) or 1.0
    parts = [
        _TEXT.format(0, 13, "start", "ink", _BOLD, title),
        *_legend(labels),
        *(_LINE.format(left + share * _LONGEST, _TOP, bottom) for share in (0, 0.5, 1)),
        *(
            _TEXT.format(left + share * _LONGEST, bottom + 15, "middle", "soft", "", _percent(share * greatest))
            for share in (0, 0.5, 1)
        ),
    ]
    for place, (name, (_, *shares)) in enumerate(zip(names, bars, strict=True)):
        top = _TOP + _ROW * place + (_ROW - 2 * _THICK) / 2
        parts.append(_TEXT.format(left - _SPACE, top + _THICK + 4, "end", "soft", "", name))
        for which, (share, colour) in enumerate(zip(shares, _COLOURS, strict=True)):
            parts.append(_BAR.format(left, top + which * _THICK, share / greatest * _LONGEST, _THICK, colour))
    said = "; ".join(f"{name} {_percent(first)} and {_percent(second)}" for name, first, second in bars)
    said = f"{title}. {caption} {labels[0]} and {labels[1]}: {said}"  # whoever does not see it has the numbers
    svg = Markup('<svg role="img" aria-label="{0}" viewBox="0 0 {1:.0f} {2}" width="{1:.0f}" font-size="11">{3}</svg>')
    return Markup('<div class="scroll" tabindex="0" style="--least:{:.0f}px">{}</div>').format(
        width, svg.format(said, width, bottom + _BOTTOM, Markup("").join(parts))
    )


def _percent(share: float) -> str:
    """In two digits: 33 %, 0.5 %."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _legend(labels: tuple[str, str]) -> list[Markup]:
    """The two colours and their names, below the title."""
    parts, across = [], 0.0
    for label, colour in zip(labels, _COLOURS, strict=True):
        parts.append(_BAR.format(across, 24, 10, 10, colour))
        parts.append(_TEXT.format(across + 14, 33, "start", "ink", "", label))
        across += 14 + _LETTER * len(label) + 2 * _SPACE
    return parts
