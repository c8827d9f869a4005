"""The steps of a local run in containers of their images, in a Docker engine of this machine.

KFP's DockerRunner starts them, with a read-only root file system and without privileges, as a pod would. They run as
the calling user, who owns what they write, and find the current folder, the folder of the runs and what is mounted
besides under the same paths. Of the environment a container gets the variables that are handed over, and no others.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubeline
from kubeline.errors import PlatformError, UserError, listed
from kubeline.yaml_files import first_document

if TYPE_CHECKING:
    from docker import DockerClient

_LABEL = "kubeline.run"
_REPORTER = "/run/kubeline"  # where containers find this package, which reports their step
# Of this process alone: the step itself imports what its image has.
_REPORT = (
    f"import sys; sys.path.insert(0, {_REPORTER!r}); from kubeline.local.step import main; sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Containers:
    """What containers get from this machine.

    Attributes:
        mounts: folders and files, besides the current folder and that of the runs.
        variables: names of environment variables whose values are handed over.
    """

    mounts: tuple[Path, ...] = ()
    variables: tuple[str, ...] = ()

    def check(self, pipeline: Path, values: Mapping[str, Any], root: Path) -> None:
        """Look whether the run can begin, and pull the images that are not there.

        Args:
            pipeline: compiled.
            values: of its parameters.
            root: folder of the runs.

        Raises:
            UserError: when a mount or a variable is not there, or a parameter names a file that is not mounted.
            PlatformError: when no engine answers, or an image cannot be pulled.
        """
        if missing := [str(path) for path in self.mounts if not path.exists()]:
            raise UserError(f"there is nothing at {listed(missing)}; --mount takes folders and files that are there")
        if unset := [name for name in self.variables if name not in os.environ]:
            raise UserError(f"--env takes variables that are set, and {listed(unset)} is not; set it, or leave it out")
        seen = self._seen(root)
        for text in _texts(values):
            path = Path(text.removeprefix("file://").removeprefix("sqlite:///")).resolve()
            if "/" in text and path.exists() and not any(path.is_relative_to(folder) for folder in seen):
                raise UserError(f"the containers do not see '{text}'; give --mount {path.parent} as well")
        with _engine() as engine:
            for image in sorted(_images(pipeline)):
                _pull(engine, image)

    def settings(self, run: Path, root: Path, events: Path, variables: Mapping[str, str]) -> dict[str, Any]:
        """How :mod:`kubeline.local.worker` starts the containers.

        Args:
            run: folder of the run.
            root: folder of the runs.
            events: folder of the socket that steps report to.
            variables: of the steps' environment, besides those handed over.
        """
        with _engine() as engine:
            # An engine without root maps its root to the user who runs it, and other users to nobody's.
            rootless = "name=rootless" in (engine.info().get("SecurityOptions") or [])
        user = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"
        package = Path(kubeline.__file__).parent
        mounts = [_mount(path, str(path), False) for path in [*self._seen(root), events]]
        arguments = {
            "user": user,
            "read_only": True,
            "tmpfs": {"/tmp": "mode=1777"},  # noqa: S108 (the container's)
            "mounts": [*mounts, _mount(package, f"{_REPORTER}/kubeline", True)],
            "working_dir": str(Path.cwd()),
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "network_mode": "host",  # a cluster or a registry of this machine is at 127.0.0.1
            "labels": {_LABEL: run.name},
        }
        handed = {name: os.environ[name] for name in self.variables}
        return {"docker": arguments, "variables": {**handed, **variables}, "reporter": ["python3", "-P", "-c", _REPORT]}

    def remove(self, run: Path) -> None:
        """Remove the containers of a run that are left, as after Ctrl-C; an engine that is gone has none."""
        import docker

        with contextlib.suppress(PlatformError), _engine() as engine:
            for container in engine.containers.list(all=True, filters={"label": f"{_LABEL}={run.name}"}):
                with contextlib.suppress(docker.errors.APIError):  # it ended meanwhile
                    container.remove(force=True)

    def _seen(self, root: Path) -> list[Path]:
        """What containers find under its path on this machine."""
        return list(dict.fromkeys(path.resolve() for path in (Path.cwd(), root, *self.mounts)))


@contextlib.contextmanager
def _engine() -> "Iterator[DockerClient]":
    import docker

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise PlatformError(
            f"--runner docker needs a Docker engine, and none answers: {' '.join(str(error).split())}; start it, or "
            "leave --runner out to run the steps as processes of this machine"
        ) from error
    try:
        yield client
    finally:
        client.close()


def _pull(engine: "DockerClient", image: str) -> None:
    import docker

    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        try:
            engine.images.pull(image)
        except docker.errors.APIError as error:
            raise PlatformError(
                f"the image {image} is not on this machine and cannot be pulled: {error.explanation or error}; build "
                "it (docs/clusters.md), or compile the pipeline with the KUBELINE_REGISTRY that has it"
            ) from error


def _images(pipeline: Path) -> set[str]:
    executors = first_document(pipeline, "pipeline file")["deploymentSpec"]["executors"].values()
    return {executor["container"]["image"] for executor in executors if "container" in executor}


def _mount(source: Path, target: str, read_only: bool) -> dict[str, Any]:
    """A bind mount as the Docker Engine API has it (its type `Mount`)."""
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, Iterable):
        for one in value:
            yield from _texts(one)
