"""Libraries are imported while rows are read."""

import gc
import importlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kubeline.data.ahead import importing
from tests.support.waiting import wait_for

SLOW = "import threading\nby = threading.current_thread()\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("imported_meanwhile", "imported_in_vain"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_after_the_block_a_library_is_there_that_another_thread_imported(modules: Path) -> None:
    (modules / "imported_meanwhile.py").write_text(SLOW)
    with importing("imported_meanwhile"):
        wait_for(gc.isenabled)  # rows that are read for long after it leave no garbage
    assert sys.modules["imported_meanwhile"].by is not threading.current_thread()
    assert gc.isenabled()


def test_a_library_that_cannot_be_imported_ends_what_uses_it_and_nothing_before(modules: Path) -> None:
    (modules / "imported_in_vain.py").write_text("raise OSError('no such driver')")
    with importing("imported_in_vain"):
        read = sum(range(10))
    assert read == 45
    with pytest.raises(OSError, match="no such driver"):
        importlib.import_module("imported_in_vain")


def test_what_the_block_raises_is_raised_and_garbage_is_collected_again(modules: Path) -> None:
    (modules / "imported_meanwhile.py").write_text(SLOW)
    with pytest.raises(ValueError, match="no rows"), importing("imported_meanwhile"):
        raise ValueError("no rows")
    assert gc.isenabled()


def test_scikit_learn_comes_without_the_statistics_that_no_step_calls_and_finds_them_where_one_does() -> None:
    code = """
import sys
from kubeline.data.ahead import importing
with importing("sklearn.ensemble"):
    pass
print("sklearn.ensemble" in sys.modules, "scipy.stats" in sys.modules)
import sklearn._loss.link, scipy.stats
print(sklearn._loss.link.gmean([1, 4]), scipy.stats.norm.cdf(0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "2.0", "0.5"]
