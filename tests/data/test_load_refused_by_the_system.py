"""What the operating system refuses: permissions and full disks."""

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kfp import dsl

from kubeline.errors import PlatformError
from tests.data.bad_input import ROWS, assert_refused, pattern
from tests.support.loading import Load


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder, and this process as a user to whom permissions apply: root's thread becomes `nobody` for a while."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65_534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


@pytest.fixture
def _warm(tmp_path: Path, load: Load) -> None:
    """Modules are imported lazily, and `nobody` may not be allowed to read them."""
    (tmp_path / "warm.csv").write_text(ROWS)
    load(tmp_path / "warm.csv")


@pytest.mark.usefixtures("_warm")
def test_a_file_that_may_not_be_read_is_named() -> None:
    with without_privileges() as folder:
        (folder / "t.csv").write_text(ROWS)
        (folder / "t.csv").chmod(0)
        output = dsl.Dataset(name="dataset", uri=str(folder / "out" / "dataset"), metadata={})
        sentence = pattern("cannot use {0}/t.csv: permission was denied; give this user access to the path", folder)
        assert_refused(output, PlatformError, sentence, str(folder / "t.csv"))


@pytest.mark.usefixtures("_warm")
def test_a_folder_that_may_not_be_written_is_named() -> None:
    with without_privileges() as folder:
        (folder / "t.csv").write_text(ROWS)
        (folder / "out").mkdir(mode=0o555)
        output = dsl.Dataset(name="dataset", uri=str(folder / "out" / "dataset"), metadata={})
        sentence = pattern("cannot use {0}/out/.dataset.partial: permission was denied; give this user *", folder)
        assert_refused(output, PlatformError, sentence, str(folder / "t.csv"))


def test_a_disk_that_takes_no_more_ends_the_step_without_a_part_of_the_dataset(
    tmp_path: Path, output: dsl.Dataset
) -> None:
    """The limit on file sizes makes the operating system refuse a write in the middle, as a full disk does."""
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(200_000)}), tmp_path / "t.parquet")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        sentence = "^cannot use the disk: the file grew larger than this file system or the limit on file sizes"
        assert_refused(output, PlatformError, sentence, str(tmp_path / "t.parquet"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
