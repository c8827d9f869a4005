"""YAML that people write: what it costs is known before it is read."""

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kubeline.errors import UserError
from kubeline.platform.compiled import Compiled
from kubeline.platform.lint.source import Source
from kubeline.yaml_files import documents, first_document, parse, read_mapping

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{former}'] * 9)}]}}\n"
    for former, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (_BOMB, "holds more than 100,000 values, its aliases written out"),
        (_MERGES, "holds more than 100,000 values, its aliases written out"),
        ("a: &a [*a]", "holds more than 100,000 values"),
        ("a: " + "[" * 500_000 + "]" * 500_000, "is nested more than 100 levels deep"),
        ("a: " + "{a: " * 200_000 + "}" * 200_000, "is nested more than 100 levels deep"),
        ("a: 2013-13-45", "month must be in 1..12"),
        ("a: " + "9" * 5_000, "is not valid YAML: Exceeds the limit"),
        ("a: !!int x", "is not valid YAML: invalid literal"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: [1", "is not valid YAML: while parsing a flow sequence at line 1, column 4 did not find expected"),
        ("a: 1\nb: 2\na: 3", "has the key 'a' twice in one mapping, at line 3, column 1; keep one of them"),
        ("a: {b: [{c: 1, c: 1}]}", "has the key 'c' twice in one mapping, at line 1, column 16"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_a_text_that_is_no_parameter_file_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        parse(text, "the file")
    assert str(error.value).startswith("the file ")
    assert "\n" not in str(error.value)


def test_a_bomb_of_aliases_is_refused_within_a_small_memory(tmp_path: Path) -> None:
    """Of 9^9 values: made, it takes gigabytes."""
    file = tmp_path / "bomb.yaml"
    file.write_text(_BOMB, encoding="utf-8")
    command = [sys.executable, "-c", "import sys; from kubeline.cli import main; sys.exit(main(sys.argv[1:]))"]
    ended = subprocess.run(
        [*command, "run", "training", "--params", str(file)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)),  # of data, not of libraries
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"kubeline: the parameter file '{file}' holds more than 100,000 values, its aliases written out; shorten it\n"
    )


@pytest.mark.parametrize("text", [_BOMB, _MERGES, "[" * 50_000 + "]" * 50_000, "a: " + "x" * (5 << 20)])
def test_no_compiled_pipeline_takes_all_memory(tmp_path: Path, text: str) -> None:
    """`submit`, `schedule` and `lint` composed what they were given: deep ones were a RecursionError."""
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"a: 1\n---\n{text}", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not a compiled pipeline; `kubeline lint .*` says why"):
        Compiled.read(file)
    problem = Source.read(file).problem
    assert problem
    assert "\n" not in problem


def test_documents_of_a_file_are_all_read(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("a: 1\n---\n---\nb: 2\n", encoding="utf-8")
    assert documents(file, "file") == [{"a": 1}, {"b": 2}]


def test_anchors_and_aliases_of_a_usual_file_are_read() -> None:
    assert parse("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a]", "it") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}],
    }
    assert parse("", "it") is None


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UserError, match=r"huge.yaml' is larger than 4 MiB; give a smaller one$"):
        read_mapping(file, "parameter file", "names to values")
    with pytest.raises(UserError, match=r"^the pipeline file '.*huge.yaml' is larger than 4 MiB"):
        first_document(file, "pipeline file")


def test_a_folder_and_a_device_are_no_parameter_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(UserError, match=r"is a folder or a device; give a YAML file that maps"):
            read_mapping(path, "parameter file", "names to values")


def test_a_pipe_as_a_shell_makes_one_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("a: 1", encoding="utf-8"))
    writer.start()
    assert read_mapping(pipe, "parameter file", "names to values") == {"a": 1}
    writer.join()
