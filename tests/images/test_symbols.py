"""Shared libraries lose what follows their last segment, and nothing else."""

import os
import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.images.dockerfiles import ROOT

SEGMENT, SYMBOLS = b"code" * 100, b"symbol" * 20_000


def library(kind: int = 3, sections: int | None = None, segment: bytes = SEGMENT) -> bytes:
    """A library: a header, a segment that is mapped, symbols; `sections` is where it says that its list of them is."""
    begin = 64 + 56
    listed = begin + len(segment) + len(SYMBOLS) if sections is None else sections
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", kind, 62, 1, 0, 64, listed, 0, 64, 56, 1, 64, 9, 8
    )
    mapped = struct.pack("<IIQQQQQQ", 1, 5, begin, begin, begin, len(segment), len(segment), 4096)
    return header + mapped + segment + SYMBOLS


def cut(folder: Path) -> None:
    """Run the script."""
    script = ROOT / "images" / "symbols.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True)


def test_a_library_ends_with_its_last_segment_and_names_no_sections(tmp_path: Path) -> None:
    file = tmp_path / "package" / "fast.so.3"
    file.parent.mkdir()
    file.write_bytes(library())
    file.chmod(0o755)
    cut(tmp_path)
    content = file.read_bytes()
    assert content[64:] == library()[64 : -len(SYMBOLS)]
    assert (content[40:48], content[60:64]) == (bytes(8), bytes(4))
    assert file.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in file.parent.iterdir()] == ["fast.so.3"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n" * 10_000,
        library(kind=1),  # not linked yet
        library()[:4] + b"\x01" + library()[5:],  # of 32 bits
        library(sections=64 + 56),  # a list of sections before the segment's end says that this is another layout
        library()[: 64 + 56 + len(SEGMENT) + 10],  # hardly anything to cut
    ],
)
def test_what_is_no_such_library_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.so").write_bytes(content)
    cut(tmp_path)
    assert (tmp_path / "odd.so").read_bytes() == content


def test_a_library_that_was_cut_loads_and_its_other_name_in_a_cache_keeps_what_it_had(tmp_path: Path) -> None:
    found = find_spec("yaml._yaml")
    assert found
    assert found.origin
    whole, name = Path(found.origin).read_bytes(), Path(found.origin).name
    shutil.copytree(Path(found.origin).parent, tmp_path / "yaml", ignore=shutil.ignore_patterns("*.so"))
    (tmp_path / "cache").write_bytes(whole)
    os.link(tmp_path / "cache", tmp_path / "yaml" / name)
    cut(tmp_path / "yaml")
    assert (tmp_path / "cache").read_bytes() == whole
    assert (tmp_path / "yaml" / name).stat().st_size < len(whole)
    asked = "import yaml, sys; print(yaml.__file__.startswith(sys.argv[1]), yaml.load('a: [1]', yaml.CSafeLoader))"
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", asked, str(tmp_path)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == "True {'a': [1]}\n", done.stderr
