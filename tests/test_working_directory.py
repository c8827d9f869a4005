"""No command of ours takes a module from the folder that it is called in."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kubeline.model_client.server import start
from tests.support.packages import write_tiny_package
from tests.support.toy_pipeline import toy

__all__ = ["toy"]

ROOT = Path(__file__).parents[1]
PLANTED = (
    "orjson",
    "numpy",
    "pandas",
    "pyarrow",
    "yaml",
    "uvicorn",
    "uvloop",
    "onnxruntime",
    "kfp",
    "typing_extensions",
)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: modules of it write a file when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in (*PLANTED, "kubeline", "kubeline_serving"):
        content = (
            f"import pathlib; pathlib.Path({str(tmp_path / 'sprung')!r}).write_text({name!r})\nraise SystemExit(9)\n"
        )
        (folder / f"{name}.py").write_text(content)
    monkeypatch.chdir(folder)
    return folder


def test_the_trap_would_spring(hostile: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", "import orjson"], check=False)
    assert (tmp_path / "sprung").read_text() == "orjson"


@pytest.mark.parametrize("words", [["-m", "kubeline_serving", "--help"], ["-P", "-m", "kubeline_serving", "--help"],
                                   ["-m", "embedded_kserve", "--help"]])  # fmt: skip
def test_a_command_takes_no_module_from_the_working_directory(hostile: Path, tmp_path: Path, words: list[str]) -> None:
    for name in ("kubeline_serving", "kubeline"):  # which are what is asked for, where `-P` does not stand
        (hostile / f"{name}.py").unlink()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "sprung").exists()


def test_the_server_that_infra_validate_starts_takes_none(hostile: Path, tmp_path: Path) -> None:
    with start(write_tiny_package(tmp_path / "package"), tmp_path / "log") as server:
        server.wait_until_ready(0, 1e9)
    assert not (tmp_path / "sprung").exists()


def test_a_run_and_each_of_its_steps_take_none(hostile: Path, tmp_path: Path, toy: Path) -> None:
    program = Path(sys.executable).with_name("kubeline")
    command: list[str | Path] = [program, "run", toy, "--output", tmp_path / "runs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "sprung").exists()


def test_every_process_that_is_started_with_a_module_is_reported_so() -> None:
    rooms = ("src", "serving", "embedded_kserve")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*")]
    lines = [line for path in sources if path.is_file() and path.suffix in {".py", ".sh"} for line in path.open()]
    starts = [line for line in lines if re.search(r"(sys\.executable.*|exec python.*)-m", line)]
    assert len(starts) >= 2
    assert all("-P" in line for line in starts)
    for name in ("Dockerfile", "serving/Dockerfile"):
        assert "PYTHONSAFEPATH=1" in (ROOT / name).read_text(encoding="utf-8")
