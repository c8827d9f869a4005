"""Where the compiled YAML is: in a checkout beside the sources, in an installed wheel inside the package."""

from pathlib import Path
from typing import Literal

from kubeline.errors import UserError, listed

Platform = Literal["kubeflow", "vertex"]

_PACKAGE = Path(__file__).parent


Room = Literal["components", "pipelines"]


def folder(room: Room) -> Path:
    """The folder that holds the compiled components or pipelines."""
    installed = _PACKAGE / f"_{room}"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / room


def names(room: Room) -> list[str]:
    """The names of all of them."""
    pattern = "*/component.yaml" if room == "components" else "*/kubeflow.yaml"
    return sorted(path.parent.name for path in folder(room).glob(pattern))


def pipeline_file(name: str, target: Platform = "kubeflow") -> Path:
    """The compiled YAML of a pipeline, by its name or by a path to a YAML file.

    Raises:
        UserError: when there is no such pipeline.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"there is no pipeline file '{name}'; give the path of a compiled pipeline YAML")
        return Path(name)
    file = folder("pipelines") / name / f"{target}.yaml"
    if not file.is_file():
        known = listed(names("pipelines"))
        raise UserError(f"there is no pipeline '{name}'; there are: {known} (or give the path of a YAML file)")
    return file


def component_file(name: str) -> Path:
    """The compiled YAML of a component.

    Raises:
        UserError: when there is no such component.
    """
    file = folder("components") / name / "component.yaml"
    if not file.is_file():
        raise UserError(f"there is no component '{name}'; there are: {listed(names('components'), limit=30)}")
    return file
