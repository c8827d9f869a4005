"""Names and values that would do something where they are not taken as words, and a reader that finds what is alive."""

from html.parser import HTMLParser

NAMES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "x](javascript:alert(3))",
    "![x](https://example.com/pixel)",
    "`code` | cell",
    "</td></table><svg onload=alert(4)>",
    '" onmouseover="alert(5)',
    "ends]]><!-- here",
    "\x1b[31mred\x1b[0m",
    "two\nlines | <b>bold</b>",
    "right to left \u202e gnp.exe",
    "$x^2$ & &lt;i&gt;",
    "javascript:alert(6)",
    "<https://example.com/auto>",
    "# heading",
]
_DEAD = frozenset(
    """html head meta title style body header h1 h2 h3 main section footer p hr div strong em small b code br ul li dl
    dt dd span table thead tbody tr th td figure figcaption details summary a svg g path defs use rect text tspan circle
    line polyline polygon clippath image metadata rdf:rdf cc:work dc:type dc:creator cc:agent dc:title dc:format
    pre""".split()  # noqa: SIM905
)


class Alive(HTMLParser):
    """What of a page can do something or loads something, as `found`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        if tag not in _DEAD:
            self.found.append(tag)
        for name, value in attributes:
            address = (value or "").strip().lower()
            if name.startswith("on"):
                self.found.append(f"{tag} {name}")
            if name in ("href", "src", "xlink:href", "action") and (":" in address and not address.startswith("data:")):
                self.found.append(f"{tag} {name}={value}")


def alive(page: str) -> list[str]:
    """The elements and attributes of an HTML text that are more than words and drawings."""
    return Alive(page).found
