"""From the start of a container to the first line of a step's own code: ``python -m benchmarks.startup``, with Docker.

A step in an image of Kubeline is beside the same step as a lightweight component: on the plain base, KFP and the
packages of the image, by version, installed by pip when the step starts. Images are there already; pulling is not
measured.
``BASE`` names the base (default python:3.11-slim).
"""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import yaml
from kfp import compiler, dsl
from packaging.requirements import Requirement

from components.images import image as address

ROOT = Path(__file__).parents[1]
IMAGE: Final = "deploy"
FIRST = "the step's own code has begun"
RUNS = 5


def first_line() -> None:
    """A step that only says that it runs."""
    print("the step's own code has begun", flush=True)  # FIRST; KFP takes the function alone


def main() -> None:
    """Print the seconds of each, the middle one of `RUNS`, and of pip the only one."""
    base = os.environ.get("BASE", "python:3.11-slim")
    lock = (ROOT / "images" / f"{IMAGE}.lock").read_text(encoding="utf-8")
    wanted = [Requirement(line) for line in re.findall(r"^(\S+==.+?) \\", lock, re.MULTILINE)]
    here = {"python_full_version": "3.11.0", "python_version": "3.11"}  # of the images
    packages = [f"{each.name}{each.specifier}" for each in wanted if not each.marker or each.marker.evaluate(here)]
    mine = dsl.component(base_image=address(IMAGE), install_kfp_package=False)(first_line)
    light = dsl.component(base_image=base, packages_to_install=packages)(first_line)
    seconds = sorted(measure(mine) for _ in range(RUNS))
    print(f"in the image {IMAGE}: {seconds[RUNS // 2]:.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})", flush=True)
    print(f"as a lightweight component that installs its {len(packages)} packages: {measure(light):.1f} s", flush=True)


def measure(component: dsl.base_component.BaseComponent) -> float:
    """Seconds until the step's own code runs, in a container of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "component.yaml"
        compiler.Compiler().compile(component, str(file))
        (executor,) = yaml.safe_load(file.read_text(encoding="utf-8"))["deploymentSpec"]["executors"].values()
    container = executor["container"]
    words = [*container["command"], *container["args"]]
    words = [word.replace("{{$}}", '{"inputs": {}, "outputs": {"outputFile": "/tmp/output.json"}}') for word in words]
    command = ["docker", "run", "--rm", "--network", "host", container["image"], *words]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:  # noqa: S603
        said = []
        for line in running.stdout or ():
            said.append(line)
            if FIRST in line:
                return time.perf_counter() - begin
    raise SystemExit(f"the step has not begun: {''.join(said[-20:])}")


if __name__ == "__main__":
    main()
