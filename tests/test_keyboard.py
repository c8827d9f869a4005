"""Whoever has no mouse or no eyes gets through a page: `make screenshots` walks each by Tab, here the kinds of blocks.

In a real browser; where there is none, the tests are left out.
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import matplotlib.figure
import pytest
from markupsafe import Markup

from kubeline.reports import Report, facts, figure, table, text, verdict
from kubeline.reports.bars import figure_of_bars
from kubeline.reports.lines import Curve, figure_of_curves
from kubeline.reports.shares import figure_of_shares

Faults = Callable[[Path, int], list[str]]


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    """What is wrong with a page in a window of a width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / ".ci"))
        found: list[ModuleType] = [importlib.import_module(name) for name in ("browser", "keyboard")]
        browser, keyboard = found
        command = browser.installed()
        if command is None:
            pytest.skip("there is no Chromium")
        with browser.browser(command) as window:

            def opened(page: Path, width: int) -> list[str]:
                window.open(page, width, "light", 500)
                return list(keyboard.faults(window))

            yield opened


@pytest.fixture
def every_block(tmp_path: Path) -> Path:
    report = Report("Every block", "and things that fold and lead on")
    report.add("Said", verdict("promote", "good", ["It is better."]), text("A sentence."), facts({"rows": 12}))
    link = Markup('<a href="page.html">a link</a>')
    wide = [[f"row {row}", link, *(10.0**place for place in range(20))] for row in range(30)]
    report.add("Wide", table(["name", "page", *map(str, range(20))], wide))
    report.add("Long", table(["name", "said"], [["a", link], ["b", "a sentence that needs a line of its own"]]))
    drawing = matplotlib.figure.Figure(figsize=(9, 3))
    drawing.subplots().plot([1, 2])
    report.add("Drawn", figure(drawing, "A line that rises from 1 to 2."))
    report.add("Bars", figure_of_bars([("delay", [("0 to 1", 0.2, 0.8)])], ("then", "now"), "Shares."))
    curves = [Curve("a", ("x", "y"), (0.0, 1.0), (1.0, 2.0)), Curve("b", ("x", "y"), None, (1.0, 2.0))]
    report.add("Curves", figure_of_curves(curves, "Means."))
    report.add("Shares", figure_of_shares([(0, 10), (9, 50)], ("new", "old"), "Shares."))
    report.add("Folded", Markup("<details><summary>more</summary><p>words</p></details>"))
    report.write(tmp_path / "page.html")
    return tmp_path / "page.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_each_block_of_a_page_is_reached_seen_and_named(faults: Faults, every_block: Path, width: int) -> None:
    assert faults(every_block, width) == []
    assert every_block.read_text(encoding="utf-8").count(' tabindex="0" role="group" aria-label="') == 7


WHOLE = "<!doctype html><html lang=en><title>t</title><style>{}</style><main><h1>t</h1>{}</main>"
LINKS = "<p><a href='#a'>one</a></p><p><a href='#b'>two</a></p>"


@pytest.mark.parametrize(
    ("style", "body", "said"),
    [
        ("a { outline: none }", LINKS, "one does not see what has the focus"),
        ("a { opacity: 0 }", LINKS, "one does not see what has the focus"),
        ("a { position: fixed; left: -9rem }", LINKS, "out of sight"),
        ("b { position: sticky; top: 0; display: block; height: 9rem; background: red; margin-bottom: -9rem }",
         f"<b></b>{LINKS}", "something lies over it"),
        ("", f"{LINKS}<script>document.onkeydown = e => "
         "document.activeElement.matches('a') ? e.preventDefault() : true</script>", "the focus does not leave"),
        ("", f"{LINKS}<a href='#c' tabindex=1>three</a>", "out of the order of the page"),
        ("", "<table><tr><td>1</td></tr></table>", "a table without a header cell"),
        ("", "<table><tr><th>a</th><td>1</td></tr></table>", "a header cell of neither"),
        ("", "<svg><circle r=9></circle></svg>", "a drawing that says nothing"),
        ("", "<h3>x</h3>", "follows one of level 1"),
        ("p { overflow: auto; white-space: nowrap; width: 9rem }", f"<p>{'long ' * 50}</p>", "cannot be reached"),
        ("", "<div tabindex=0>x</div>", "a stop without a role or a name"),
        ("", "<details><summary onclick='event.preventDefault()'>x</summary>y</details>", "does not open and close"),
    ],
)  # fmt: skip
def test_what_stands_in_somebodys_way_is_said(faults: Faults, tmp_path: Path, style: str, body: str, said: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(WHOLE.format(style, body), encoding="utf-8")
    assert any(said in fault for fault in faults(page, 1280))
