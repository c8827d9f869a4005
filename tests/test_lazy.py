"""Modules that libraries import in name only."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from kubeline.lazy import deferred

LIBRARIES = ("library", "hasty", "derived", "deeper")


@pytest.fixture(autouse=True)
def _libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose module `seldom` no one calls while `library` and `hasty` are imported, but for the latter."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_functions").mkdir()
    (tmp_path / "of_functions" / "__init__.py").write_text("")
    (tmp_path / "of_functions" / "seldom.py").write_text("def double(number): return 2 * number\n")
    (tmp_path / "library.py").write_text(
        "from of_functions import seldom\nfrom of_functions.seldom import double\ndef twice(n): return double(n)\n"
    )
    (tmp_path / "of_functions" / "base.py").write_text("class Base:\n    number = 4\n")
    (tmp_path / "derived.py").write_text(
        "from of_functions.base import Base\nclass Derived(Base): pass\n"
        "def is_base(value): return isinstance(value, Base)\n"
    )
    part = tmp_path / "of_functions" / "deep" / "part"
    part.mkdir(parents=True)
    (part.parent / "__init__.py").write_text("from . import part\n")
    (part / "__init__.py").write_text("import of_functions.deep.part.core as core\nfour = core.four\n")
    (part / "core.py").write_text("four = 4\n")
    (tmp_path / "deeper.py").write_text("from of_functions.deep import part\nfour = part.four\n")
    (tmp_path / "hasty.py").write_text("from of_functions.seldom import double\nfour = double(2)\n")
    of_functions = ("seldom", "base", "deep", "deep.part", "deep.part.core")
    for name in ("of_functions", *(f"of_functions.{each}" for each in of_functions), *LIBRARIES):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_module_that_a_library_imports_is_loaded_when_one_of_its_functions_is_called() -> None:
    with deferred("of_functions.seldom"):
        library = importlib.import_module("library")
    assert "of_functions.seldom" not in sys.modules
    assert library.twice(2) == 4
    assert "of_functions.seldom" in sys.modules


def test_after_the_block_the_module_is_what_an_import_of_it_always_gives() -> None:
    with deferred("of_functions.seldom"):
        importlib.import_module("library")
    real = importlib.import_module("of_functions.seldom")
    assert real.__file__
    assert real is sys.modules["of_functions"].seldom
    assert real.double(2) == 4


def test_a_library_that_calls_a_function_while_it_is_imported_is_given_its_value() -> None:
    with deferred("of_functions.seldom"):
        assert importlib.import_module("hasty").four == 4
    assert importlib.import_module("of_functions.seldom").__file__


def test_a_package_that_is_loaded_while_it_is_deferred_finds_its_own_modules() -> None:
    with deferred("of_functions.deep"):
        assert importlib.import_module("deeper").four == 4


def test_a_module_that_is_there_stays_as_it_is() -> None:
    there = importlib.import_module("of_functions.seldom")
    with deferred("of_functions.seldom"):
        assert importlib.import_module("library").seldom is there
    assert sys.modules["of_functions.seldom"] is there


def test_a_library_may_derive_a_class_from_one_that_it_imports_in_name() -> None:
    with deferred("of_functions.base"):
        derived = importlib.import_module("derived").Derived
    real = importlib.import_module("of_functions.base").Base
    assert issubclass(derived, real)
    assert derived.number == 4


def test_a_library_may_ask_whether_a_value_is_of_a_class_that_it_imports_in_name() -> None:
    with deferred("of_functions.base"):
        library = importlib.import_module("derived")
    assert library.is_base(importlib.import_module("of_functions.base").Base())
    assert not library.is_base(4)


def test_libraries_that_steps_import_while_they_read_are_whole_without_what_is_deferred() -> None:
    program = (
        "import sys\nfrom kubeline.data.ahead import importing\n"
        "wanted = ['scipy.special', 'sklearn.ensemble', 'kubeline.training.learning', 'skl2onnx']\n"
        "with importing(*wanted): pass\n"
        "print([name in sys.modules for name in [*wanted, 'scipy.optimize']])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[True, True, True, True, False]"
