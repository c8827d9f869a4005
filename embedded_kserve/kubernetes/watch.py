"""Watches: what happens to objects, as a stream of JSON lines."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from embedded_kserve.kubernetes.requests import ApiRequest, selected
from embedded_kserve.kubernetes.statuses import StatusError
from embedded_kserve.kubernetes.store import Store, WatchEvent

_SECONDS = 300.0  # a watch without a timeout of its own


class News:
    """Wakes every watch of an event loop when something has changed."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.closed = False

    def announce(self) -> None:
        """Something has changed. To be called in the event loop."""
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """There will be no more. To be called in the event loop."""
        self.closed = True
        self.announce()

    def next(self) -> asyncio.Event:
        """Set by the next change."""
        return self._next


async def events(store: Store, news: News, request: ApiRequest, delay: float) -> AsyncIterator[bytes]:
    """The events that a request asks for, each `delay` seconds late, until its timeout.

    Without a version, or with 0, it begins with the objects that are there.
    """
    given = request.query.get("resourceVersion", "")
    until = time.monotonic() + float(request.query.get("timeoutSeconds", _SECONDS))
    fresh = given in {"", "0"}
    version = store.version if fresh else int(given)
    found = _present(store, request, version) if fresh else []
    try:
        while True:
            for change in found:
                await asyncio.sleep(delay)
                yield _line(change.type, change.document)
            if (left := until - time.monotonic()) <= 0 or news.closed:
                return
            changed = news.next()  # before reading: what comes after it is not missed
            changes = store.changes_since(version, 0.0)
            version = changes[-1].version if changes else version
            found = list(_of_interest(changes, request))
            if not changes:
                await _wait(changed, left)
    except StatusError as error:
        yield _line("ERROR", error.document())


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(changed.wait(), seconds)
    except TimeoutError:
        return


def _present(store: Store, request: ApiRequest, version: int) -> list[WatchEvent]:
    every = store.every(request.kind, request.namespace)
    changes = [WatchEvent(version, (request.kind, d["metadata"].get("namespace", ""), ""), "ADDED", d) for d in every]
    return list(_of_interest(changes, request))


def _of_interest(changes: Iterable[WatchEvent], request: ApiRequest) -> Iterable[WatchEvent]:
    for change in changes:
        here = change.key[0] == request.kind and request.namespace in {"", change.key[1]}
        if here and selected(change.document, request.query):
            yield change


def _line(event: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": event, "object": document}).encode() + b"\n"
