"""A new component that already compiles, passes the linters and has a test: `make component NAME=count_rows`.

It writes the interface, the implementation and a test, each small enough to be read before it is replaced, and compiles
the interface. CONTRIBUTING.md says what comes next.
"""

import keyword
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

INTERFACE = '''\
"""Interface of `{name}`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def {name}(dataset: Input[Dataset], report: Output[Markdown], least_rows: int = 1) -> None:
    """Say how many rows a table has.

    Args:
        dataset: The table, a folder of Parquet files.
        least_rows: A table with fewer rows is refused.

    Returns:
        report: The number of rows.
    """
    from kubeline.{name} import {name} as implementation

    implementation.run(dataset, report, least_rows=least_rows)
'''

ROOM = '"""What the component `{name}` does."""\n'

IMPLEMENTATION = '''\
"""The implementation of the component `{name}`."""

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError


@step
def run(dataset: Artifact, report: Artifact, least_rows: int = 1) -> None:
    """Write the number of rows of `dataset` to `report`, Markdown.

    Raises:
        UserError: when the table has fewer than `least_rows` rows.
    """
    rows = open_dataset(dataset.path).count_rows()
    if rows < least_rows:
        raise UserError(f"the table has {{rows}} rows; expected at least {{least_rows}}, see the parameter least_rows")
    with publish(report.path) as page:
        page.write_text(f"{{rows:,}} rows\\n", encoding="utf-8")
    describe(report, {{"rows": rows}})
'''

TEST = '''\
"""The component `{name}`, called as a pipeline calls it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.{name}.component import {name}
from kubeline.errors import UserError

Maker = Callable[..., Any]


def test_the_rows_are_counted(dataset: Maker, artifact: Maker) -> None:
    report = artifact("Markdown", "report")
    {name}.python_func(dataset=dataset(pd.DataFrame({{"x": [1, 2, 3]}})), report=report)
    assert Path(report.path).read_text(encoding="utf-8") == "3 rows\\n"
    assert report.metadata["rows"] == 3


def test_a_table_that_is_too_small_is_refused_and_nothing_is_written(dataset: Maker, artifact: Maker) -> None:
    report = artifact("Markdown", "report")
    with pytest.raises(UserError, match="the table has 1 rows; expected at least 2"):
        {name}.python_func(dataset=dataset(pd.DataFrame({{"x": [1]}})), report=report, least_rows=2)
    assert not Path(report.path).exists()
'''


def write(name: str, root: Path = ROOT) -> list[Path]:
    """Write the files of a new component `name` below `root`, and give their paths.

    Raises:
        ValueError: when no component can have that name, or something has it already; nothing is written then.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"NAME={name or ''!r} cannot name a component; expected a verb such as count_rows")
    files = {
        f"components/{name}/__init__.py": "",
        f"components/{name}/component.py": INTERFACE,
        f"src/kubeline/{name}/__init__.py": ROOM,
        f"src/kubeline/{name}/{name}.py": IMPLEMENTATION,
        f"tests/{name}/test_{name}.py": TEST,
    }
    taken = [folder for folder in ("components", "src/kubeline", "tests") if (root / folder / name).exists()]
    if taken or (root / "src" / "kubeline" / f"{name}.py").exists():
        raise ValueError(f"{taken[0] if taken else 'src/kubeline'} has a {name} already; choose another NAME")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text.format(name=name), encoding="utf-8")
    return [root / path for path in files]


def main() -> int:
    """Write the component that the command line names, and compile it."""
    try:
        files = write(sys.argv[1] if sys.argv[1:] else "")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(f"wrote {file.relative_to(ROOT)}" for file in files))
    return subprocess.run([sys.executable, "compile.py"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
