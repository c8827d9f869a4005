"""Memory does not grow with the table, and a killed step leaves nothing that a second run would stumble over."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.validate.component import validate
from tests.support.artifacts import Maker
from tests.support.loading import Load

SCRIPT = """
import resource, sys
from kfp import dsl
from components.load.component import load
from components.split.component import split

source, folder = sys.argv[1:]
names = ("all", "train", "test", "report")
made = {name: dsl.Dataset(name=name, uri=f"{folder}/{name}", metadata={}) for name in names}
load.python_func(source=source, dataset=made["all"])
if "split" in folder:
    split.python_func(dataset=made["all"], train=made["train"], test=made["test"], report=made["report"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
ROOT = Path(__file__).parents[2]


def start(source: Path, folder: Path) -> "subprocess.Popen[str]":
    """Load (and split, when the folder's name says so) in a process of its own; it prints its peak memory in MiB."""
    command = [sys.executable, "-c", SCRIPT, str(source), str(folder)]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": ""}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def write_csv(path: Path, blocks: int) -> Path:
    """About 2 MB of numbers and texts, `blocks` times."""
    rows = "".join(f"{n},{n * 0.37:.6f},2013-01-01 05:00:00,{'text ' * (n % 20)},NA\n" for n in range(20_000))
    with path.open("w") as file:
        file.write("i,x,t,s,missing\n")
        for _ in range(blocks):
            file.write(rows)
    return path


@pytest.mark.slow
def test_peak_memory_of_load_and_split_does_not_follow_the_size_of_the_table(tmp_path: Path) -> None:
    peaks, sizes = [], []
    for name, blocks in (("small", 25), ("large", 100)):
        source = write_csv(tmp_path / f"{name}.csv", blocks)
        sizes.append(source.stat().st_size // 2**20)
        output, _ = start(source, tmp_path / f"split-{name}").communicate()
        peaks.append(int(output))
    growth = peaks[1] - peaks[0]
    assert sizes[1] - sizes[0] > 120
    assert growth < 90, f"{sizes} MiB of CSV took {peaks} MiB at the peak"


def test_a_table_of_many_columns_is_loaded_and_validated(tmp_path: Path, load: Load, artifact: Maker) -> None:
    """At 101 columns it needed more memory than the engine has."""
    columns = 600
    rows = [",".join(f"{row * column % 97 / 4}" for column in range(columns)) for row in range(200)]
    (tmp_path / "t.csv").write_text("\n".join([",".join(f"c{column}" for column in range(columns)), *rows]) + "\n")
    loaded = load(tmp_path / "t.csv")
    assert loaded.frame.shape == (200, columns)
    assert loaded.frame["c599"].tolist() == [row * 599 % 97 / 4 for row in range(200)]
    made = {name: artifact("Dataset", name) for name in ("valid", "quarantine", "schema", "report")}
    table = artifact("Dataset", "table")
    table.uri = str(loaded.path)
    assert validate.python_func(table, **made).passed


def test_a_load_killed_in_the_middle_and_repeated_equals_a_clean_one(tmp_path: Path, load: Load) -> None:
    source = write_csv(tmp_path / "t.csv", 30)
    folder = tmp_path / "killed"
    process = start(source, folder)
    partial = folder / ".all.partial" / "part-00000.parquet"
    while process.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in folder.iterdir()] == [".all.partial"]

    repeated = start(source, folder)
    repeated.communicate()
    assert repeated.returncode == 0
    assert [path.name for path in folder.iterdir()] == ["all"]
    clean = load(source).path
    assert {path.name: path.read_bytes() for path in (folder / "all").iterdir()} == {
        path.name: path.read_bytes() for path in clean.iterdir()
    }
