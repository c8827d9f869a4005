"""The images in a Docker engine: ``python -m tests.images.docker_engine`` builds them and runs the pipelines in them.

Each image is built by its Dockerfile, the steps run as kfp's DockerRunner starts them: as a user that the image does
not know, on a read-only file system, with nothing but ``/tmp`` to write to. ``BASE`` and ``PIP_INDEX_URL`` of the
environment are the builds' arguments; ``DOCKER_BUILD_FLAGS`` are further words for ``docker build``.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from components.images import image as address
from examples.flights.prepare import flights
from tests.images import pipeline
from tests.images.dockerfiles import IMAGES, ROOT, dockerfile
from tests.images.environments import NOBODY


def main() -> int:
    """Build, run, and say what was seen."""
    found = shutil.which("docker")
    engine = found and subprocess.run([found, "version"], capture_output=True, text=True, check=False)
    if not engine or engine.returncode:
        reason = engine.stderr.strip().rpartition("\n")[2] if engine else "there is no command 'docker'"
        print(
            f"make images-test needs a Docker engine: {reason}; 'make test' runs the same without one", file=sys.stderr
        )
        return 3
    for image in IMAGES:
        build(image)
    print(f"together, as a node holds them: {together() / 1e6:.0f} MB", flush=True)
    with tempfile.TemporaryDirectory(prefix="kubeline-docker-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        run_pipelines(place)
        # What the steps wrote is theirs, so it is they who let it be removed.
        mine = ["--volume", f"{place}:{place}", "--user", f"{NOBODY}:0", address("steps")]
        subprocess.run(
            ["docker", "run", "--rm", *mine, "chmod", "-R", "a+rwX", folder], check=False, capture_output=True
        )
    return 0


def build(image: str) -> None:
    """Build an image under the name that the compiled pipelines give it."""
    arguments = [f"--build-arg={name}={os.environ[name]}" for name in ("BASE", "PIP_INDEX_URL") if name in os.environ]
    target = [] if image == "serving" else ["--target", image]
    tag = address(image)  # type: ignore[arg-type]
    more = shlex.split(os.environ.get("DOCKER_BUILD_FLAGS", ""))
    command = ["docker", "build", "--quiet", *more, *arguments, *target, "--file", str(dockerfile(image)), "--tag", tag]
    subprocess.run([*command, str(ROOT)], check=True, stdout=subprocess.DEVNULL)
    print(f"built {tag}: {int(docker('image', 'inspect', '--format', '{{.Size}}', tag)) / 1e6:.0f} MB", flush=True)


def together() -> int:
    """Bytes of all images, each layer once."""
    with subprocess.Popen(["docker", "save", *(address(image) for image in IMAGES)], stdout=subprocess.PIPE) as saved:  # type: ignore[arg-type]
        assert saved.stdout
        size = sum(len(chunk) for chunk in iter(partial(saved.stdout.read, 2**20), b""))
    if saved.returncode:
        sys.exit("docker save failed")
    return size


def run_pipelines(place: Path) -> None:
    """Run the pipelines, each step in a container of its image."""
    where = place / "places.json"
    user = {"user": f"{NOBODY}:0", "read_only": True, "tmpfs": {"/tmp": "mode=1777"}}  # noqa: S108 (the container's)
    where.write_text(json.dumps({"docker": {**user, "network_mode": "none"}}), encoding="utf-8")
    table = flights().sample(6_000, random_state=0).sort_index().reset_index(drop=True)
    root = place / "runs"
    tracking = f"sqlite:///{root / 'mlflow.db'}"
    arguments = pipeline.training_arguments(table, root, tracking_uri=tracking)
    say("training", pipeline.run("training", arguments, where, root))
    window = {"data": arguments["data"], "reference": "models:/flights@champion", "tracking_uri": tracking}
    say("monitoring", pipeline.run("monitoring", window, where, root))
    batch = {"data": arguments["data"], "model": window["reference"], "tracking_uri": tracking}
    say("batch prediction", pipeline.run("batch_prediction", batch, where, root))
    serve(next(root.rglob("model/manifest.json")).parent)


def serve(package: Path) -> None:
    """Start the image as KServe does, with options alone, and stop it when it has answered."""
    run = ["--read-only", "--network", "none", "--user", f"{NOBODY}:0", "--volume", f"{package}:/mnt/models:ro"]
    server = docker("run", "--detach", *run, address("serving"), "--model_name=flights").strip()
    try:
        asked = (
            "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/v1/models/flights').read().decode())"
        )
        answer = ""
        for _ in range(60):
            time.sleep(1)
            done = subprocess.run(["docker", "exec", server, "python", "-c", asked], capture_output=True, check=False)
            answer = done.stdout.decode().strip()
            if answer:
                break
        docker("stop", server)
        code = docker("wait", server).strip()
        print(f"serving: {answer or 'no answer'}, stopped with exit code {code}", flush=True)
        if not answer or code != "0":
            sys.exit(f"the image serving did not serve: {docker('logs', server)}")
    finally:
        docker("rm", "--force", server)


def docker(*words: str) -> str:
    """What a docker command prints; it must succeed."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


def say(name: str, log: str) -> None:
    """Print the tasks of a run, and how they ended."""
    plain = re.sub(r"\x1b\[\d+m", "", log)
    tasks = re.findall(r"Task '([^']+)' finished with status (\w+)", plain)
    print(f"{name}: {', '.join(f'{task} {status}' for task, status in tasks)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
