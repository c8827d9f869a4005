"""One module of types, and a package that says it has types."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TYPES = re.compile(r"^(Array|Mask)\b.* = ", re.MULTILINE)


def test_the_types_of_arrays_stand_in_one_module() -> None:
    files = [file for room in ("src/kubeline", "serving") for file in (ROOT / room).rglob("*.py")]
    found = [file for file in files if TYPES.search(file.read_text(encoding="utf-8"))]
    assert found == [ROOT / "src/kubeline/typing.py"]


def test_the_package_states_to_type_checkers_that_it_has_types() -> None:
    assert (ROOT / "src/kubeline/py.typed").is_file()


def test_no_call_hands_over_more_than_eight_values_by_position() -> None:
    """Two of fourteen that are swapped are found by nobody."""
    rooms = ("src/kubeline", "serving", "embedded_kserve", "components", "pipelines")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py") if "_pb2" not in file.name]
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and len(node.args) > 8 and not is_text(node.func)
    ]
    assert found == []


def is_text(function: ast.expr) -> bool:
    """Whether it fills the places of a text."""
    return isinstance(function, ast.Attribute) and function.attr == "format"
