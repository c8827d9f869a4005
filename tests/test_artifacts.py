"""Outputs are whole or not there, metadata are storable, and failures end a step in one sentence."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubeline.artifacts import describe, finite, move_files, publish, step
from kubeline.errors import PlatformError, UserError, listed
from tests.support.artifacts import Maker

ROOT = Path(__file__).parents[1]


def content(folder: Path) -> dict[str, str]:
    """All files under a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with publish(tmp_path / "deep" / "report.md") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "deep" / "report.md").exists()
    assert content(tmp_path) == {"deep/report.md": "whole"}


def test_a_folder_replaces_an_earlier_one(tmp_path: Path) -> None:
    for round_ in ("first", "second"):
        with publish(tmp_path / "model") as partial:
            partial.mkdir()
            (partial / f"{round_}.txt").write_text(round_)
    assert content(tmp_path) == {"model/second.txt": "second"}


def test_a_file_replaces_a_folder_and_a_folder_a_file(tmp_path: Path) -> None:
    for kind in ("folder", "file", "folder"):
        with publish(tmp_path / "output") as partial:
            if kind == "folder":
                partial.mkdir()
                (partial / "a.txt").write_text(kind)
            else:
                partial.write_text(kind)
    assert content(tmp_path) == {"output/a.txt": "folder"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_fails_leaves_what_was_there_before(kind: str, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "old.txt").write_text("old")

    def fail() -> None:
        with publish(tmp_path / "output") as partial:
            if kind == "folder":
                partial.mkdir()
            (partial / "new.txt" if kind == "folder" else partial).write_text("half")
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        fail()
    assert content(tmp_path) == {"output/old.txt": "old"}


def test_a_block_that_creates_nothing_is_an_error_and_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "old.txt").write_text("old")
    with pytest.raises(FileNotFoundError), publish(tmp_path / "output"):
        pass
    assert content(tmp_path) == {"output/old.txt": "old"}


def test_what_a_killed_step_left_does_not_reach_the_next_one(tmp_path: Path) -> None:
    script = """
import sys, time
from kubeline.artifacts import publish
with publish(sys.argv[1]) as partial:
    partial.mkdir()
    (partial / "half.txt").write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "output")]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert content(tmp_path) == {".output.partial/half.txt": "half"}
    with publish(tmp_path / "output") as partial:
        assert not partial.exists()
        partial.mkdir()
        (partial / "whole.txt").write_text("whole")
    assert content(tmp_path) == {"output/whole.txt": "whole"}


def test_a_folder_can_be_moved_file_by_file_where_it_cannot_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "a.txt").write_text("a")
    (tmp_path / "from" / "deep" / "b.txt").write_text("b")
    move_files(tmp_path / "from", tmp_path / "to")
    assert content(tmp_path) == {"to/a.txt": "a", "to/deep/b.txt": "b"}


def test_metadata_are_plain_and_finite(artifact: Maker) -> None:
    made = artifact()
    made.metadata["kept"] = 1
    values: dict[Any, Any] = {
        "n": np.int64(3),
        "x": np.float32(0.5),
        "nan": math.nan,
        7: [math.inf, np.float64("nan"), 1],
        "flag": np.True_,
    }
    describe(made, {**values, "nested": {"low": -math.inf, "pair": (1, 2.0)}})
    assert made.metadata == {
        "kept": 1,
        "n": 3,
        "x": 0.5,
        "7": [None, None, 1],
        "flag": True,
        "nested": {"pair": [1, 2.0]},
    }
    assert json.loads(json.dumps(made.metadata, allow_nan=False)) == made.metadata
    assert finite(math.nan) is None


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "cannot use /some/where: permission was denied; give this user access to the path"),
        (errno.EROFS, "cannot use /some/where: the file system is read-only; choose a writable path"),
        (errno.EDQUOT, "cannot use /some/where: the disk quota is used up; free some space or ask for more"),
    ],
)
def test_a_broken_machine_is_a_platform_error_of_one_sentence(number: Any, sentence: str) -> None:
    @step
    def fail() -> None:
        raise OSError(number, os.strerror(number), "/some/where")

    with pytest.raises(PlatformError) as caught:
        fail()
    assert str(caught.value) == sentence
    assert isinstance(caught.value.__cause__, OSError)


def test_a_full_device_is_a_platform_error() -> None:
    @step
    def fill() -> None:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(PlatformError, match=r"^cannot use the disk: no space is left on the device; free some or ask"):
        fill()


def test_other_errors_of_the_operating_system_stay_what_they_are() -> None:
    @step
    def fail() -> None:
        Path("/none/at/all").read_bytes()

    with pytest.raises(FileNotFoundError):
        fail()


def test_a_step_returns_what_its_function_returns_and_keeps_its_name() -> None:
    @step
    def add(first: int, second: int = 2) -> int:
        """Add."""
        return first + second

    assert add(1, second=3) == 4
    assert (add.__name__, add.__doc__) == ("add", "Add.")


@pytest.mark.parametrize(
    ("raised", "code", "last_line", "lines"),
    [
        ("UserError('bad input; fix it')", 2, "UserError: bad input; fix it", 1),
        ("PlatformError('no network; try again')", 3, "PlatformError: no network; try again", 1),
        (
            "OSError(28, 'No space left on device')",
            3,
            "PlatformError: cannot use the disk: no space is left on the *",
            1,
        ),
        ("ValueError('a bug')", 1, "ValueError: a bug", 5),
        ("ValueError('two\\nlines')", 1, "ValueError: two lines", 5),
        ("AssertionError()", 1, "AssertionError: no message; raised in fail (<string>:*", 5),
        ("StopIteration('end')", 1, "UnexpectedError: StopIteration: end", 5),
    ],
)
def test_a_running_step_ends_with_its_sentence_and_exit_code(
    raised: str, code: int, last_line: str, lines: int
) -> None:
    ended = _ended(f"raise {raised}")
    assert ended.returncode == code
    assert ended.stderr.splitlines()[-1].startswith(last_line.rstrip("*"))
    assert len(ended.stderr.splitlines()) >= lines
    assert (len(ended.stderr.splitlines()) == 1) == (lines == 1)


def _ended(body: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A running step with this body, in a process of its own."""
    script = f"""
import atexit
from kubeline.artifacts import step
from kubeline.errors import PlatformError, UserError
@step
def fail(blessing=None, result=None):
    {body}
class Made:
    def __init__(self, **metadata):
        self.metadata, self.path = metadata, "nothing"
fail(Made(verdict="promote"), result=Made())
"""
    variables = {"PYTHONPATH": str(ROOT / "src"), "_KFP_RUNTIME": "true", **environment}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False)


def test_the_sentence_comes_behind_what_libraries_print_at_the_end() -> None:
    ended = _ended("""atexit.register(lambda: print("leaked 27 instances", file=__import__("sys").stderr))
    import duckdb
    duckdb.sql("select 1")
    raise UserError("the table has no rows; load some")""")
    assert "leaked 27 instances" in ended.stderr
    assert ended.stderr.splitlines()[-1] == "UserError: the table has no rows; load some"


def test_a_failing_step_leaves_its_sentence_where_kubernetes_shows_it(tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    place.touch()
    _ended("raise UserError('the table has no rows; load some')", KUBELINE_TERMINATION_LOG=str(place))
    assert place.read_text() == "UserError: the table has no rows; load some"
    _ended("raise ValueError('ä' * 5_000)", KUBELINE_TERMINATION_LOG=str(place))
    assert place.read_text().startswith("ValueError: ää")
    assert 4090 <= len(place.read_bytes()) <= 4096


def test_a_step_leaves_what_it_decided_and_not_what_it_was_given(tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    place.touch()
    _ended("result.metadata.update(verdict='hold')", KUBELINE_TERMINATION_LOG=str(place))
    assert place.read_text() == "hold"


def test_where_there_is_no_such_place_nothing_is_written(tmp_path: Path) -> None:
    ended = _ended("raise UserError('x')", KUBELINE_TERMINATION_LOG=str(tmp_path / "termination-log"))
    assert ended.returncode == 2
    assert not (tmp_path / "termination-log").exists()


def test_names_in_a_message_are_cut_after_the_twelfth() -> None:
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(13)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …"


def test_a_step_takes_the_same_mappings_in_one_order_whatever_order_they_are_given_in() -> None:
    @step
    def shown(settings: dict[str, Any], rows: list[Any]) -> str:
        return json.dumps([settings, rows])

    one = shown({"b": {"y": 1, "x": 2}, "a": 0}, rows=[{"d": 1, "c": 2}])
    other = shown({"a": 0, "b": {"x": 2, "y": 1}}, rows=[{"c": 2, "d": 1}])
    assert one == other


@pytest.mark.parametrize("running", ["true", ""])
def test_a_step_collects_garbage_seldom_from_before_its_libraries_are_imported(running: str) -> None:
    program = "import gc, sys, kubeline.artifacts; print(gc.get_threshold()[0] >= 50_000, 'pandas' in sys.modules)"
    environment = {**os.environ, "_KFP_RUNTIME": running}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(running == "true"), "False"]
