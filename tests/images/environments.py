"""The images as environments of this machine: the same script, packages and project, without Docker.

The packages lie in ``.cache/images``, by the digest of what they are made from. Processes run as a user that owns
nothing, where the tests may become one, else as the tests' own user in a tree that nobody may write to.
"""

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from components.images import image as address
from tests.images.dockerfiles import IMAGES, ROOT, copy_context, layers, stage

UV = find_uv_bin()
NOBODY = "54321"  # a user and a group that the system does not know


@dataclass(frozen=True)
class Environment:
    """One image: where its packages are, and this project (`app`)."""

    image: str
    packages: Path
    app: Path

    @property
    def place(self) -> dict[str, str]:
        """Folders of the image, and where they are here; the first that fits counts."""
        return {
            "/app": str(self.app),
            "/var/cache/matplotlib": str(self.packages / "fonts"),
            "/tmp": str(self.app.parent / "tmp"),  # noqa: S108 (the image's)
        }

    def here(self, text: str) -> str:
        """The text with the image's paths replaced by those of this machine."""
        for inside, outside in self.place.items():
            if text == inside or text.startswith(inside + "/"):
                return outside + text.removeprefix(inside)
        return text

    @property
    def variables(self) -> dict[str, str]:
        """The image's variables. `TMPDIR` and the libraries' path stand for folders that every system has."""
        image = {name: self.here(value) for name, value in stage(self.image).environment.items() if name != "PATH"}
        # pip compiles the modules of an image; here each is compiled when it is first imported
        image.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **image,
            "PYTHONPYCACHEPREFIX": str(self.packages / "bytecode"),
            "PATH": f"{self.packages / 'bin'}:{self.app / 'bin'}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": str(self.packages / "libraries"),
            "TMPDIR": self.here("/tmp"),  # noqa: S108 (the image's)
        }

    def run(self, command: Sequence[str], **options: object) -> "subprocess.CompletedProcess[str]":
        """Run a command in the image, as its user and in its working directory."""
        return subprocess.run(
            [*another_user(), *command],
            env=self.variables,
            cwd=self.here(stage(self.image).workdir),
            capture_output=True,
            text=True,
            check=False,
            **options,  # type: ignore[call-overload]
        )


def environments(folder: Path) -> dict[str, Environment]:
    """Every image by its name, with this project as it is now; `folder` is new and can be reached by everyone."""
    context, app = folder / "context", folder / "app"
    copy_context(context)
    build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "wheels")]
    _run([sys.executable, *build], cwd=context)
    app.mkdir()
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    shutil.copyfile(context / "serving" / "entrypoint.sh", app / "entrypoint.sh")
    install = f"{UV} pip install --quiet --no-cache --python {sys.executable}"
    variables = {"WHEELS": str(folder / "wheels"), "APP": str(app), "INSTALL": install, "PYTHON": sys.executable}
    before = os.umask(0o077)  # that of a careful person's checkout
    try:
        _run(["sh", str(context / "images" / "install.sh"), "kubeline"], variables)
    finally:
        os.umask(before)
    made = {image: Environment(image, _packages(image), app) for image in IMAGES}
    _run(["chmod", "-R", "a-w", str(app)])
    return made


def places(made: Mapping[str, Environment], file: Path) -> Path:
    """Write for the local runner what each image's steps run in."""
    variables = {address(image): environment.variables for image, environment in made.items()}  # type: ignore[arg-type]
    file.write_text(json.dumps({"environments": variables}), encoding="utf-8")
    return file


@functools.cache
def another_user() -> tuple[str, ...]:
    """What to put before a command so that another user runs it; empty where that is not allowed.

    That user may read everything, because an interpreter may lie in somebody's home, and write only what everyone may.
    Where that right cannot be given and is needed, it is the same user without a superuser's rights.
    """
    become = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    read_all = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    # an interpreter that cannot read its own library takes another one's
    works = [sys.executable, "-c", f"import sys, yaml; sys.exit(sys.base_prefix != {sys.base_prefix!r})"]
    for options in ((*become, *read_all), become, ("--inh-caps=-all", "--bounding-set=-all")):
        try:
            subprocess.run(["setpriv", *options, *works], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return ("setpriv", *options)
    return ()


def _packages(image: str) -> Path:
    """The folder with an image's packages, made when it is missing."""
    names = [*(f"{layer}.lock" for layer in layers(image)), "kfp.lock", "install.sh", "symbols.py"]
    locks = [ROOT / "images" / name for name in names]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks) + sys.version.encode() + sys.prefix.encode())
    target = ROOT / ".cache" / "images" / f"{image}-{digest.hexdigest()[:16]}"
    with _alone(target.parent / f"{image}.lock"):
        if not (target / ".ready").exists():
            for old in target.parent.glob(f"{image}-*"):
                shutil.rmtree(old)
            _install(image, target)
    return target


def _install(image: str, target: Path) -> None:
    _run([UV, "venv", "--quiet", "--no-project", "--python", sys.executable, str(target)])
    variables = {
        "LOCKS": str(ROOT / "images"),
        "LIBRARIES": str(target / "libraries"),
        "FONTS": str(target / "fonts"),
        "LAYER": "",
        "INSTALL": f"{UV} pip install --quiet --python {target / 'bin' / 'python'}",
        "PYTHON": str(target / "bin" / "python"),
    }
    for layer in layers(image):
        _run(["sh", str(ROOT / "images" / "install.sh"), "packages", layer], variables)
    (target / "bytecode").mkdir()
    (target / "bytecode").chmod(0o1777)
    (target / ".ready").touch()


def _run(command: Sequence[str], variables: Mapping[str, str] = os.environ, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        command, env={**os.environ, **variables}, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
