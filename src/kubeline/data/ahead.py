"""Steps of a stream that work at the same time: one reads on while the next is busy."""

import gc
import importlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
_WAIT_SECONDS = 0.1


def ahead(items: Iterable[T]) -> Generator[T]:
    """The same items, of which a thread makes the next one while this one is used; so at most three are held.

    What the thread raises is raised here. When the reader leaves early, the thread ends with its item.
    """
    source = _Source(items)
    source.thread.start()
    try:
        while True:
            item, error = source.ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        source.left.set()
        source.thread.join()


@contextmanager
def importing(*modules: str) -> Iterator[None]:
    """Import libraries on a thread while the block reads rows, which it does outside of Python for most of its time.

    The block must not import them, nor what they import: two threads that import parts of one library wait for each
    other. What fails is raised where the library is used. Until the libraries are there, no garbage is
    collected: to inspect all that an import makes, over and over, takes a fifth of its time.
    """
    if not modules:
        yield
        return
    thread = threading.Thread(target=_import_all, args=(modules, gc.isenabled()), daemon=True)
    gc.disable()
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import_all(modules: Iterable[str], collects: bool) -> None:
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception:
        return
    finally:
        if collects:
            gc.enable()


class _Source(Generic[T]):
    """The thread that makes the items."""

    def __init__(self, items: Iterable[T]):
        self.ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=1)
        self.left = threading.Event()
        self.thread = threading.Thread(target=self._work, args=(items,), daemon=True)

    def _work(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                self._offer(item, None)
                if self.left.is_set():
                    break
            self._offer(None, StopIteration())
        except BaseException as error:  # raised where the items are used
            self._offer(None, error)
        finally:
            if close := getattr(items, "close", None):
                close()

    def _offer(self, item: T | None, error: BaseException | None) -> None:
        while not self.left.is_set():
            try:
                self.ready.put((item, error), timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return
