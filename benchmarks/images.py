"""What the packages of an image weigh: ``python -m benchmarks.images [IMAGE …]``, without Docker.

The locks of the image's layers are installed into an environment of its own, stripped and compiled as images/install.sh
and pip do. The base image, about 130 MB, and Kubeline itself come on top.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
LAYERS = {
    "deploy": ("common", "deploy"),
    "drift": ("common", "deploy", "model", "drift"),
    "steps": ("common", "deploy", "model", "steps"),
    "serving": ("common", "serving"),
}
WITH_THEIR_BYTECODE = ("common", "deploy")  # by images/install.sh; of the others pip makes all
SHOWN = 12


def main(*images: str) -> None:
    """Print the sum, and the heaviest packages, of each of these images."""
    for image in images or LAYERS:
        with tempfile.TemporaryDirectory() as folder:
            sizes = weigh(image, Path(folder))
        print(f"{image:8} {sum(sizes.values()) / 1e6:7,.0f} MB")
        for name in sorted(sizes, key=lambda name: -sizes[name])[:SHOWN]:
            print(f"  {name:20} {sizes[name] / 1e6:7,.1f}")


def weigh(image: str, folder: Path) -> dict[str, int]:
    """Bytes of each folder or module of the packages."""
    python = str(folder / "bin" / "python")
    _run(find_uv_bin(), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    install = f"{find_uv_bin()} pip install --quiet --link-mode copy --python {python}"
    variables = {
        "LOCKS": str(ROOT / "images"),
        "INSTALL": install,
        "PYTHON": python,
        "LIBRARIES": str(folder / "libraries"),
        "FONTS": str(folder / "fonts"),
        "LAYER": "",
    }
    for layer in LAYERS[image]:
        assigned = [f"{name}={value}" for name, value in variables.items()]
        _run("env", *assigned, "sh", str(ROOT / "images" / "install.sh"), "packages", layer)
        if layer not in WITH_THEIR_BYTECODE:
            _run(python, "-m", "compileall", "-q", str(folder / "lib"))
    (packages,) = folder.glob("lib/python*/site-packages")
    return {entry.name: _bytes(entry) for entry in packages.iterdir()}


def _bytes(place: Path) -> int:
    files = [place] if place.is_file() else place.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own script, in an environment of its own


if __name__ == "__main__":
    main(*sys.argv[1:])
