"""Every page in a real browser: ``make screenshots``.

Pages of the runs, and of the documentation's site where it is built: pictures at the width of a desk and of a
telephone, light and dark, and one as it is printed, in ``runs/screenshots``. What is wrong with a page is reported, and
the exit code is then 1: a serious fault that axe-core finds for keyboards and screen readers, what somebody without
mouse or eyes would meet (``keyboard.py``), a page that scrolls sideways, one of a run that is larger than a megabyte or
brings a script along.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import keyboard
from browser import Browser, browser, installed

WIDTHS = (1280, 390)  # pixels
SCHEMES = ("light", "dark")
MAX_BYTES = 1_000_000
WORD = "canary"  # which the search of the documentation is asked for
SERIOUS = {"serious", "critical"}
JUDGED = {(1280, "light"), (390, "dark")}  # where axe-core runs and the keyboard walks: each width and each scheme once
RUNS = ("*.html", "*/*.html", "*/reports/*.html")
README = Path(__file__).parents[1] / "docs" / "rollout.png"  # the picture of the first screen: the latest rollout
OF_README, README_SIZE = "canary-*-better/index.html", (1000, 945)
_FOUND = "found.violations.map(each => [each.id, each.impact, each.nodes.map(node => node.target.join(' '))])"


class Inspection:
    """Opens pages, and collects what is wrong."""

    def __init__(self, window: Browser, axe: str):
        self._window, self._axe = window, axe
        self.faults: list[str] = []
        self.remarks: dict[str, list[str]] = {}  # the places of each rule

    def at(self, page: Path, width: int, scheme: str) -> bytes:
        """The picture of a page; what is wrong with it is collected."""
        where = f"{page} at {width} pixels, {scheme}"
        self._window.open(page, width, scheme)
        if self._window.scrolls_sideways(width):
            self.faults.append(f"{where}: scrolls sideways")
        if (width, scheme) in JUDGED:
            self._judge(page, where)
        return self._window.picture(width)

    def search(self, page: Path) -> None:
        """The search of the documentation, from one of its pages."""
        self._window.open(page, WIDTHS[0], SCHEMES[0])
        self.faults += [f"the search of {page}: {fault}" for fault in keyboard.search(self._window, WORD)]

    def _judge(self, page: Path, where: str) -> None:
        for rule, impact, places in self._violations(page):
            words = f"axe-core's rule {rule} ({impact})"
            if impact in SERIOUS:
                self.faults.append(f"{where}: {words} at {places[0]}, and {len(places) - 1} more")
            else:
                self.remarks.setdefault(words, []).append(f"{places[0]} of {page}")
        self.faults += [f"{where}: {fault}" for fault in keyboard.faults(self._window)]

    def _violations(self, page: Path) -> list[tuple[str, str, list[str]]]:
        # The page of a run that goes on loads itself anew; whoever reads it has the link to one that does not.
        follows = (page.parent / "still.html").is_file()
        options = {"rules": {"meta-refresh": {"enabled": not follows}}, "resultTypes": ["violations"]}
        run = f"axe.run(document, {json.dumps(options)}).then(found => {_FOUND})"
        return [tuple(each) for each in self._window.evaluate(self._axe, run)]


def pages(runs: Path, site: Path) -> Iterator[tuple[Path, str, bool]]:
    """Each page, the name of its pictures, and whether it is one of a run."""
    for page in sorted(page for pattern in RUNS for page in runs.glob(pattern)):
        yield page, "-".join(page.relative_to(runs).with_suffix("").parts), True
    for page in sorted(set(site.rglob("*.html")) - {site / "index.html"}):  # which leads on to another at once
        yield page, "site-" + "-".join(page.relative_to(site).with_suffix("").parts), False


def contents(page: Path) -> Iterator[str]:
    """What is wrong with the file of a run's page."""
    text = page.read_bytes()
    if len(text) > MAX_BYTES:
        yield f"{page}: {len(text) / 1e6:.1f} MB"
    if b"<script" in text.lower():
        yield f"{page}: brings a script along"


def main(axe: Path, runs: Path, site: Path) -> int:
    """Inspection at the pages; 1 when something is wrong with one, 2 when there is no browser or no page."""
    command = installed()
    if command is None:
        print("make screenshots needs Chromium; on Debian: apt-get install chromium", file=sys.stderr)
        return 2
    found = list(pages(runs, site))
    if not any(of_a_run for _, _, of_a_run in found):
        print(f"there is no page in '{runs}'; run 'make demo' first", file=sys.stderr)
        return 2
    target = runs / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    with browser(command) as window:
        inspection = Inspection(window, axe.read_text(encoding="utf-8"))
        for page, name, of_a_run in found:
            if of_a_run:
                inspection.faults += contents(page)
            for width, scheme in itertools.product(WIDTHS, SCHEMES):
                (target / f"{name}-{width}-{scheme}.png").write_bytes(inspection.at(page, width, scheme))
            window.open(page, WIDTHS[0], SCHEMES[0])
            (target / f"{name}-printed.pdf").write_bytes(window.printed())
        for page in sorted(site.glob("docs/index.html")):
            inspection.search(page)
        for page in sorted(runs.glob(OF_README))[-1:]:
            window.open(page, README_SIZE[0], SCHEMES[0], README_SIZE[1])
            README.write_bytes(window.top())
    seen = (f"{words} at {places[0]}, and {len(places) - 1} more" for words, places in inspection.remarks.items())
    for line in [*sorted(seen), *inspection.faults]:
        print(line, file=sys.stderr)
    print(f"{len(found)} pages in {target}")
    if not site.is_dir():
        print("the documentation's site was not opened: make docs builds it")
    return int(bool(inspection.faults))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
