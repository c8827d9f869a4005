"""The compiled components, for pipelines outside this repository: ``from kubeline.components import train``.

Each name is loaded from its committed ``component.yaml`` when it is first asked for, and is a component of the KFP SDK.
"""

from typing import Any

from kubeline.errors import UserError
from kubeline.resources import component_file, folder


def __getattr__(name: str) -> Any:
    from kfp.components import load_component_from_file

    try:
        file = component_file(name)
    except UserError as error:
        raise AttributeError(str(error)) from error
    return load_component_from_file(str(file))


def __dir__() -> list[str]:
    return sorted(path.parent.name for path in folder("components").glob("*/component.yaml"))
