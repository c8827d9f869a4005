"""The documentation as a site: every page of the repository, with links between them; built by `make docs`."""

import json
import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from accessible import accessible
from diagrams import on_the_site
from sphinx.ext.napoleon import GoogleDocstring

ROOT = Path(__file__).parents[2]

project = "Kubeline"
author = copyright = "The Kubeline authors"  # noqa: A001 (Sphinx's name)
version = re.findall(r'^__version__ = "(.*)"', (ROOT / "src/kubeline/__init__.py").read_text(encoding="utf-8"), re.M)[0]

# Pages stay where readers of the repository find them, so that a link is right in both places.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/**.md",
    "docs/reference/python.rst",
    "components/*/README.md",
    "pipelines/*/README.md",
    "examples/*/README.md",
    "serving/README.md",
]
exclude_patterns = ["docs/site/**"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

extensions = ["myst_parser", "sphinx.ext.napoleon", "sphinx_copybutton"]
default_role = "code"  # of docstrings, where one backtick is enough
myst_heading_anchors = 4
copybutton_prompt_text = "$ "

# Sketches leave out what does not matter, by `…`.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"Kubeline {version}"
html_copysource = False
html_extra_path = ["extra"]
html_static_path, html_css_files = ["static"], ["diagrams.css", "keyboard.css"]
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "github-dark-high-contrast"

REPOSITORY = os.environ.get("KUBELINE_REPOSITORY", "")  # where the source can be looked at; else such links are words
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>(?!https?:|#|mailto:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def lead_within_the_site(app: Any, name: str, source: list[str]) -> None:
    """A link to a folder leads to its page, and one to a source file to the repository."""
    del app
    folder = posixpath.dirname(name)

    def resolve(link: re.Match[str]) -> str:
        words, anchor = link["words"], link["anchor"] or ""
        path = posixpath.normpath(posixpath.join(folder, link["target"]))
        if (ROOT / path / "README.md").is_file():
            path = f"{path}/README.md"
        if path.endswith((".md", ".svg")):
            return f"[{words}]({posixpath.relpath(path, folder)}{anchor})"
        return f"[{words}]({REPOSITORY}/blob/main/{path})" if REPOSITORY else f"`{path}`"

    drawn = json.loads((ROOT / "docs" / "reference" / "diagrams.json").read_text(encoding="utf-8"))
    source[0] = on_the_site(_LINK.sub(resolve, source[0]), drawn)
    if name == "docs/decisions/README":  # a list of links, which is no table of contents to Sphinx
        source[0] += "\n```{toctree}\n:glob:\n:hidden:\n\n0*\n```\n"


def make_page_of_names(app: Any) -> None:
    """From what reference.py found, which runs where Kubeline is installed and Sphinx is not."""
    folder, lines, package = ROOT / "docs" / "reference", ["Public names", "============", ""], ""
    for entry in json.loads((folder / "python.json").read_text(encoding="utf-8")):
        if entry["package"] != package:
            package = entry["package"]
            lines += [package, "-" * len(package), "", f".. py:currentmodule:: {package}", ""]
        lines += [f".. py:{entry['kind']}:: {entry['name']}{entry['signature']}", ""]
        text = GoogleDocstring(entry["doc"], app.config, app, entry["kind"], entry["name"])
        lines += [f"   {line}" for line in text.lines()] + [""]
    (folder / "python.rst").write_text("\n".join(lines), encoding="utf-8")


def make_accessible(app: Any, error: Exception | None) -> None:
    """Every page that was built."""
    for file in () if error else Path(app.outdir).rglob("*.html"):
        file.write_text(accessible(file.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", make_accessible)
    app.connect("builder-inited", make_page_of_names)
    app.connect("source-read", lead_within_the_site)
