"""The embedded KServe is a distribution of its own: the library's wheel, and so every image, goes without it."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def wheel(project: Path, folder: Path) -> zipfile.ZipFile:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def test_the_wheel_of_the_library_holds_nothing_of_it(tmp_path: Path) -> None:
    names = wheel(ROOT, tmp_path).namelist()
    assert "kubeline/__init__.py" in names
    assert [name for name in names if "embedded_kserve" in name] == []


def test_its_own_wheel_holds_it_whole_and_needs_the_library_with_the_model_server(tmp_path: Path) -> None:
    made = wheel(ROOT / "embedded_kserve", tmp_path)
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "embedded_kserve").rglob("*.[pj][ys]*")}
    assert {name for name in made.namelist() if ".dist-info/" not in name} == {f for f in files if ".pyc" not in f}
    (metadata,) = (name for name in made.namelist() if name.endswith("/METADATA"))
    assert "Requires-Dist: kubeline[serving]" in made.read(metadata).decode().splitlines()
