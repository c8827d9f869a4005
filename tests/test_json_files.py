"""JSON that steps are given: how much there is of it, and how deep, is known before it is read."""

from pathlib import Path

import pytest

from kubeline import decision, json_files
from kubeline.errors import UserError
from kubeline.model_package.blessing import Blessing
from kubeline.schema.document import read_schema

DEEP = "[" * 200_000 + "]" * 200_000


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A file of a terabyte, of which nothing is on the disk."""
    file = tmp_path / "huge.json"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    return file


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """200,000 lists in each other."""
    file = tmp_path / "deep.json"
    file.write_text(DEEP, encoding="utf-8")
    return file


def test_a_schema_without_end_is_refused_at_the_bytes_that_a_schema_can_have(huge: Path) -> None:
    with pytest.raises(UserError, match=r"^schema '.*huge.json' is larger than 16 MiB; give a smaller one$"):
        read_schema(str(huge))


def test_a_schema_of_lists_in_lists_is_refused_in_a_sentence(deep: Path) -> None:
    with pytest.raises(UserError, match=r"^schema '.*deep.json' is nested too deep; flatten it$"):
        read_schema(str(deep))


def test_a_blessing_without_end_or_bottom_is_refused(huge: Path, deep: Path) -> None:
    with pytest.raises(UserError, match=r"^the blessing '.*huge.json' is larger than 16 MiB"):
        Blessing.read(str(huge))
    with pytest.raises(UserError, match="is not a blessing"):
        Blessing.read(str(deep))
    with pytest.raises(UserError, match="the blessing '/dev/zero' is a folder or a device; give a file"):
        Blessing.read("/dev/zero")


def test_a_document_without_end_or_bottom_has_no_reasons(huge: Path, deep: Path) -> None:
    assert decision.reasons(huge) == decision.reasons(deep) == decision.reasons("/dev/zero") == []


def test_a_document_within_the_limit_is_read_to_its_last_byte(tmp_path: Path) -> None:
    file = tmp_path / "fits.json"
    file.write_bytes(b"[1]" + b" " * 97)

    assert json_files.parse(json_files.contents_of(file, "it", most=100), "it") == [1]
    with pytest.raises(UserError, match="larger than"):
        json_files.contents_of(file, "it", most=99)
