"""Names that a package offers, each imported from its module when it is first asked for.

A step loads only what it works with, though the package states its whole surface in one place.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def attribute_of(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """The ``__getattr__`` (PEP 562) of a package.

    Args:
        package: its name.
        modules: name of an attribute to the module of the package that holds it, such as ``spec``.
    """

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
