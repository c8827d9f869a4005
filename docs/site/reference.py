"""The generated pages of the reference: ``python docs/site/reference.py`` writes docs/reference/."""

import argparse
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagrams import drawings

from kubeline.cli.program import make_parser

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
_PUBLIC = re.compile(r"^\| `(kubeline[\w.]*)` \|", re.MULTILINE)


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    pages = {
        "cli": "\n".join(["# Command line", "", *_commands(make_parser(), 2)]),
        "components": _contents("Components", "components"),
        "pipelines": _contents("Pipelines", "pipelines"),
    }
    for name, text in pages.items():
        (FOLDER / f"{name}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    drawn = [drawings(page.read_text(encoding="utf-8")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    found = {block: svg for each in drawn for block, svg in each.items()}
    (FOLDER / "diagrams.json").write_text(json.dumps(found), encoding="utf-8")
    (FOLDER / "python.json").write_text(json.dumps(list(names())), encoding="utf-8")  # conf.py makes a page of it


def _contents(title: str, folder: str) -> str:
    entries = sorted(path.parent.name for path in (ROOT / folder).glob("*/README.md"))
    lines = [f"../../{folder}/{name}/README" for name in entries]
    return "\n".join([f"# {title}", "", "```{toctree}", *lines, "```"])


def _commands(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """A section for each command, with the help that it prints."""
    yield from ["```text", parser.format_help().rstrip(), "```", ""]
    for action in parser._actions:  # argparse has no other way to its commands
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from [f"{'#' * level} {command.prog}", ""]
                yield from _commands(command, level + 1)


def names() -> Iterator[dict[str, str]]:
    """What each public package states: its kind, name, signature and docstring, a class before its methods."""
    for package in _PUBLIC.findall((ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")):
        if package == "kubeline.components":
            continue
        module = importlib.import_module(package)
        for name in sorted(module.__all__):
            value = getattr(module, name)
            if inspect.isclass(value):
                yield _entry("class", package, name, value)
                for method, found in vars(value).items():
                    function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
                    if method.startswith("_"):
                        continue
                    if inspect.isfunction(function):
                        yield _entry("method", package, f"{name}.{method}", function)
                    elif isinstance(found, property):
                        yield _entry("property", package, f"{name}.{method}", found)
            else:
                yield _entry("function" if inspect.isroutine(value) else "data", package, name, value)


def _entry(kind: str, package: str, name: str, value: Any) -> dict[str, str]:
    if kind == "data":  # whose type is documented, and not what it is for
        return {"kind": kind, "package": package, "name": name, "signature": "", "doc": f"Is ``{value!r}``."}
    words = "" if inspect.isclass(value) and issubclass(value, Exception) else _signature(value)
    return {"kind": kind, "package": package, "name": name, "signature": words, "doc": inspect.getdoc(value) or ""}


def _signature(value: Any) -> str:
    """Without the modules of its types, and without ``self``."""
    try:
        words = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", str(inspect.signature(value)))
    except (TypeError, ValueError):
        return ""
    words = re.sub(r"(?<!= )'(\w[^']*)'", r"\1", words)  # a type that is written as text; a default stays one
    return re.sub(r"^\((self|cls)(, )?", "(", words)


if __name__ == "__main__":
    main()
