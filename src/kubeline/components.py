"""The compiled components, for pipelines outside this repository: ``from kubeline.components import train``.

Each name is loaded from its committed ``component.yaml`` when it is first asked for, and is a component of the KFP SDK.
`register` and `deploy` refuse at compile time what is no blessing (:mod:`kubeline.blessed_inputs`).
"""

from typing import Any

from kubeline.blessed_inputs import with_checked_inputs
from kubeline.errors import UserError
from kubeline.resources import component_file, names

__all__ = tuple(names("components"))


def __getattr__(name: str) -> Any:
    from kfp.components import load_component_from_file

    try:
        file = component_file(name)
    except UserError as error:
        raise AttributeError(str(error)) from error
    return with_checked_inputs(name, load_component_from_file(str(file)), frozenset(names("components")))


def __dir__() -> list[str]:
    return [*__all__]
