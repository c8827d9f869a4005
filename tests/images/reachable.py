"""What the code of an image's components can import, at its start or later."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.images.dockerfiles import ROOT

_OURS = {"kubeline": ROOT / "src" / "kubeline", "kubeline_serving": ROOT / "serving" / "kubeline_serving"}


def implementations() -> Iterator[tuple[str, str]]:
    """Every component's image and the module that does its work, as (image, module)."""
    for file in sorted(ROOT.glob("components/*/component.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        (image,) = (
            str(call.args[0].value)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "image"
            if isinstance(call.args[0], ast.Constant)
        )
        for name in _imported(tree, "components"):
            if name.startswith("kubeline."):
                yield image, name


def imported_names(modules: set[str]) -> set[str]:
    """All that these modules of ours, and those that they import, import in turn: modules, and names in modules."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        file = _file(name) if name.partition(".")[0] in _OURS else None
        if file is None:
            continue
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for other in _imported(ast.parse(file.read_text(encoding="utf-8")), package):
            top = other.partition(".")[0]
            if top in _OURS:
                waiting |= {other, other.rpartition(".")[0] or top}
            elif top not in sys.stdlib_module_names:
                found.add(other)
    return found


def _file(name: str) -> Path | None:
    top, *rest = name.split(".")
    path = _OURS[top].joinpath(*rest)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names that a module imports; what `from` takes may be a module or a name in one, so it is named too."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module if not node.level else ".".join(filter(None, [package, node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for the type checker and those of a `try` that gets along without its import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Try) and any("ImportError" in ast.dump(handler) for handler in child.handlers):
            continue
        yield child
        yield from _running(child)
