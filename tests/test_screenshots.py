"""`make screenshots` says what it lacks; what it finds in pages it finds by a browser, which the tests do without."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / ".ci"


@pytest.fixture
def screenshots(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("screenshots", FOLDER / "screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_browser_it_says_which_and_does_not_pass(tmp_path: Path) -> None:
    paths = (FOLDER / "screenshots.py", tmp_path / "axe.js", tmp_path, tmp_path / "site")
    command = [sys.executable, *map(str, paths)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "make screenshots needs Chromium; on Debian: apt-get install chromium\n"


def test_it_looks_at_every_page_of_the_runs_and_of_the_site(screenshots: ModuleType, tmp_path: Path) -> None:
    names = ["index.html", "training-1/index.html", "training-1/reports/evaluate-report.html", "history/a-1.html",
             "compared/a--b.html"]  # fmt: skip
    for name in ["training-1/model/page.html", *names, "../site/docs/index.html"]:
        page = tmp_path / "runs" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<p>")
    found = list(screenshots.pages(tmp_path / "runs", tmp_path / "site"))
    assert {page.relative_to(tmp_path / "runs").as_posix() for page, _, of_a_run in found if of_a_run} == set(names)
    assert [name for _, name, of_a_run in found if not of_a_run] == ["site-docs-index"]


def test_a_lesser_fault_of_many_pages_is_one_line_of_which_a_serious_one_is_none(
    screenshots: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"a": [("region", "moderate", ["p"])], "b": [("region", "moderate", ["i"]), ("label", "serious", ["b"])]}

    class Window:
        def open(self, page: Path, *_: object) -> None:
            self.page = page

        def scrolls_sideways(self, _: int) -> bool:
            return False

        def evaluate(self, *_: str) -> object:
            return found[self.page.name]

        def picture(self, _: int) -> bytes:
            return b""

    monkeypatch.setattr(screenshots.keyboard, "faults", lambda _: [])  # it has tests of its own
    inspection = screenshots.Inspection(Window(), "")
    for name in found:
        inspection.at(Path(name), 1280, "light")
    assert inspection.remarks == {"axe-core's rule region (moderate)": ["p of a", "i of b"]}
    assert inspection.faults == ["b at 1280 pixels, light: axe-core's rule label (serious) at b, and 0 more"]


def test_a_page_that_is_too_large_or_brings_a_script_is_reported(screenshots: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "drift-check-report.html"
    page.write_text("<p>a page of ours</p>")
    assert list(screenshots.contents(page)) == []
    page.write_text("<SCRIPT>" + "x" * 1_200_000)
    assert list(screenshots.contents(page)) == [f"{page}: 1.2 MB", f"{page}: brings a script along"]
