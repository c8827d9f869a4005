"""Steps of a stream that work at the same time: one reads on while the next is busy."""

import gc
import importlib
import logging
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar, cast

from kubeline.lazy import deferred

logger = logging.getLogger(__name__)

T = TypeVar("T")
# What scikit-learn and SciPy import, half of their time, for a function here and there that hardly a step calls.
_IN_NAME = (
    "numpy.f2py",
    "numpy.testing",
    "scipy.fft",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.stats",
)
_AHEAD = 2  # items that are made, or being made, while one is used


def ahead(items: Iterable[T]) -> Generator[T]:
    """The same items, of which a thread makes the next two while this one is used; so at most three are held.

    What the thread raises is raised here. When the reader leaves early, the thread ends with its item.
    """
    source, end = (each for each in items), object()  # nothing comes after an error
    with ThreadPoolExecutor(1) as thread:
        try:
            waiting = deque(thread.submit(next, source, end) for _ in range(_AHEAD))
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, source, end))
                yield cast("T", item)
        finally:
            thread.shutdown(cancel_futures=True)
            if close := getattr(items, "close", None):
                close()


@contextmanager
def importing(*modules: str, in_name: Iterable[str] = _IN_NAME) -> Iterator[None]:
    """Import modules on a thread while the block works outside of Python for most of its time, as to read rows does.

    The block must not import them, nor what they import: two threads that import parts of one library wait for each
    other. What fails is raised where the library is used. Until the libraries are there, no garbage is
    collected: to inspect all that an import makes, over and over, takes a fifth of its time.

    Args:
        modules: to import.
        in_name: see :func:`kubeline.lazy.deferred`.
    """
    if not modules:
        yield
        return
    thread = threading.Thread(target=_import_all, args=(modules, in_name, gc.isenabled()), daemon=True)
    gc.disable()
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import_all(modules: Iterable[str], in_name: Iterable[str], collects: bool) -> None:
    try:
        with deferred(*in_name):
            for module in modules:
                importlib.import_module(module)
    except Exception:
        logger.debug("not imported beside the reading, so later", exc_info=True)
    finally:
        if collects:
            gc.enable()
