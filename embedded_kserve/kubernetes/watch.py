"""What a controller knows of the objects that it watches: late, while a fault makes its watch slow."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from embedded_kserve.kubernetes.store import Document


@dataclass
class _Known:
    """Of one object: the version that was told last, and those that are still to be told, with when they were made."""

    told: Document | None = None
    coming: deque[tuple[float, Document]] = field(default_factory=deque)


class Watch:
    """Tells a controller of changes.

    Args:
        delay: seconds until a change of the object of this name is told.
    """

    def __init__(self, delay: Callable[[str], float]) -> None:
        self._delay = delay
        self._known: dict[str, _Known] = {}  # by uid

    def told(self, live: Sequence[Document]) -> list[Document]:
        """The objects as they have been told so far, with the status that the controller itself has written."""
        self._known = {d["metadata"]["uid"]: self._known.get(d["metadata"]["uid"], _Known()) for d in live}
        found = (self._version(document, self._known[document["metadata"]["uid"]]) for document in live)
        return [document for document in found if document is not None]

    def _version(self, live: Document, known: _Known) -> Document | None:
        now = time.monotonic()
        known.coming.append((now, live))
        due = now - self._delay(live["metadata"]["name"])
        while known.coming and known.coming[0][0] <= due:
            known.told = known.coming.popleft()[1]
        return None if known.told is None else {**known.told, "status": live.get("status", {})}
