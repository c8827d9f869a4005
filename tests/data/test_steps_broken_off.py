"""Steps that are killed, or find the disk full, while they write: nothing half-written, and nothing twice."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubeline.data import split
from kubeline.data.dataset import fingerprint
from kubeline.errors import PlatformError
from kubeline.schema import validate
from tests.support.artifacts import Maker, make_artifact, make_dataset

SCRIPT = """
import sys
from pathlib import Path
from tests.data.test_steps_broken_off import STEPS
STEPS[sys.argv[1]](Path(sys.argv[2]))
"""
ROOT = Path(__file__).parents[2]


def _split(folder: Path) -> None:
    made = {name: make_artifact(folder, "Dataset", name) for name in ("table", "train", "test", "report")}
    split.run(made.pop("table"), **made)


def _validate(folder: Path) -> None:
    names = ("table", "valid", "quarantine", "schema", "report")
    made = {name: make_artifact(folder, "Dataset", name) for name in names}
    validate.run(made.pop("table"), **made, rules=["a < 0.9"], mode="quarantine")


STEPS = {"split": _split, "validate": _validate}
WRITTEN = {"split": ("train", "test"), "validate": ("valid", "quarantine")}


def table(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({"a": random.random(rows), "b": random.integers(0, 9, rows), "c": random.random(rows)})


def start(step: str, folder: Path) -> "subprocess.Popen[bytes]":
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": ""}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, step, str(folder)], env=environment, cwd=ROOT)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_killed_while_it_writes_leaves_no_output_and_its_rerun_equals_a_clean_one(
    step: str, tmp_path: Path
) -> None:
    killed, clean = tmp_path / "killed", tmp_path / "clean"
    for folder in (killed, clean):
        folder.mkdir()
        make_dataset(folder, table(300_000), "table")
    process = start(step, killed)
    partial = killed / f".{WRITTEN[step][0]}.partial" / "part-00000.parquet"
    while process.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not names(killed) & set(WRITTEN[step])

    assert start(step, killed).wait() == 0
    STEPS[step](clean)
    assert names(killed) == names(clean)  # and no part of the first attempt
    for name in WRITTEN[step]:
        assert fingerprint(killed / name) == fingerprint(clean / name)
        assert names(killed / name) == names(clean / name)


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_takes_no_more_leaves_no_output_of_a_step(step: str, tmp_path: Path, dataset: Maker) -> None:
    dataset(table(100_000), "table")
    before = names(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(PlatformError, match=r"^cannot use the disk: the file grew larger than"):
            STEPS[step](tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == before
