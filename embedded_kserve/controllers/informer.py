"""The objects as a controller sees them: late, while a fault makes its watch slow."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from embedded_kserve.kubernetes.store import Document


@dataclass
class _Cached:
    """Of one object: the version in the cache, and those that are still on their way, with when they were made."""

    document: Document | None = None
    coming: deque[tuple[float, Document]] = field(default_factory=deque)


class Informer:
    """A cache of objects that follows their changes.

    Args:
        delay: seconds until a change of the object of this name arrives.
    """

    def __init__(self, delay: Callable[[str], float]) -> None:
        self._delay = delay
        self._cache: dict[str, _Cached] = {}  # by uid

    def listed(self, live: Sequence[Document]) -> list[Document]:
        """The objects as they are in the cache, with the status that the controller itself has written."""
        self._cache = {d["metadata"]["uid"]: self._cache.get(d["metadata"]["uid"], _Cached()) for d in live}
        found = (self._version(document, self._cache[document["metadata"]["uid"]]) for document in live)
        return [document for document in found if document is not None]

    def _version(self, live: Document, cached: _Cached) -> Document | None:
        now = time.monotonic()
        cached.coming.append((now, live))
        due = now - self._delay(live["metadata"]["name"])
        while cached.coming and cached.coming[0][0] <= due:
            cached.document = cached.coming.popleft()[1]
        return None if cached.document is None else {**cached.document, "status": live.get("status", {})}
