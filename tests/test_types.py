"""One module of types, and a package that says it has types."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TYPES = re.compile(r"^(Array|Mask)\b.* = ", re.MULTILINE)


def test_the_types_of_arrays_stand_in_one_module() -> None:
    files = [file for room in ("src/kubeline", "serving") for file in (ROOT / room).rglob("*.py")]
    found = [file for file in files if TYPES.search(file.read_text(encoding="utf-8"))]
    assert found == [ROOT / "src/kubeline/typing.py"]


def test_the_package_tells_type_checkers_that_it_has_types() -> None:
    assert (ROOT / "src/kubeline/py.typed").is_file()
