"""What is imported when it is first asked for: names that a package offers, and libraries that others import in vain.

A step loads only what it works with, though the package states its whole surface in one place.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


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


class _Name:
    """Stands for what a module calls so, a function or a class, until it is called, asked for something or derived."""

    def __init__(self, module: str, name: str):
        self._place = module, name

    def __call__(self, *args: object, **kwargs: object) -> object:
        return _found(*self._place)(*args, **kwargs)

    def __getattr__(self, name: str) -> object:
        return getattr(_found(*self._place), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, _found(*self._place))

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[object, ...]:
        """What a class that is derived of this one has in its place (PEP 560)."""
        return (_found(*self._place),)


def _found(module: str, name: str) -> Any:
    if isinstance(stand_in := sys.modules.get(module), _Module):
        _remove(module, stand_in)
    return getattr(import_module(module), name)


def _remove(module: str, stand_in: ModuleType) -> None:
    """Take a stand-in from its place, and from its package, of which imports of its modules ask for it."""
    package, _, last = module.rpartition(".")
    if sys.modules.get(module) is stand_in:
        del sys.modules[module]
    if vars(sys.modules[package]).get(last) is stand_in:
        delattr(sys.modules[package], last)


class _Module(ModuleType):
    """Stands for a module of functions."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = find_spec(name)
        if self.__spec__ and self.__spec__.submodule_search_locations:
            self.__path__ = self.__spec__.submodule_search_locations

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


@contextmanager
def deferred(*modules: str) -> Iterator[None]:
    """Libraries that the block imports get these modules only in name: each is loaded when one calls a function of it.

    After the block an import of them is what it always is. Those that are there already are no others than the real
    ones.

    Args:
        modules: of functions, in packages that may be imported.
    """
    names = {name: _Module(name) for name in modules if name not in sys.modules}
    for name, stand_in in names.items():
        package, _, last = name.rpartition(".")
        setattr(import_module(package), last, stand_in)
        sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name, stand_in in names.items():
            _remove(name, stand_in)
