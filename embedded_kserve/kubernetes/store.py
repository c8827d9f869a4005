"""The objects of the embedded API server: versions, generations, conflicts, owners, and the history of changes."""

import contextlib
import copy
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from embedded_kserve.kubernetes.conditions import timestamp
from embedded_kserve.kubernetes.merge_patch import merge_patch
from embedded_kserve.kubernetes.resources import EVENT, INFERENCE_SERVICE, NAMESPACE, Kind
from embedded_kserve.kubernetes.schema import check_values, without_unknown
from embedded_kserve.kubernetes.statuses import StatusError, already_exists, bad_request, conflict, not_found

Document = dict[str, Any]
Key = tuple[Kind, str, str]  # kind, namespace (empty for the cluster's), name
Admit = Callable[[Document, Document | None], None]

_REMEMBERED_EVENTS = 5_000  # a watch from further back has to list again
_REMEMBERED_VERSIONS = 20  # of one object, for stale reads


class WatchEvent(NamedTuple):
    """One entry of the history that watches follow."""

    version: int
    key: Key
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    document: Document


class Store:
    """Every object by kind, namespace and name. Safe to use from several threads; what it returns is a copy.

    Args:
        kinds: what is installed.
        admit: refuses a new InferenceService, or its change from the second argument, by raising StatusError.
    """

    def __init__(self, kinds: tuple[Kind, ...], admit: Admit = lambda new, old: None) -> None:
        self.kinds = kinds
        self._admit = admit
        self._objects: dict[Key, Document] = {}
        self._past: dict[Key, deque[Document | None]] = {}
        self._history: deque[WatchEvent] = deque(maxlen=_REMEMBERED_EVENTS)
        self._version = 1000
        self._listeners: list[Callable[[], object]] = []
        self.changed = threading.Condition(threading.RLock())

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    def get(self, kind: Kind, namespace: str, name: str, versions_back: int = 0) -> Document:
        """One object; `versions_back` > 0 as it was that many changes ago. StatusError when there is none."""
        with self.changed:
            found = self._at((kind, namespace, name), versions_back)
        if found is None:
            raise not_found(kind, name)
        return found

    def find(self, kind: Kind, namespace: str, name: str) -> Document | None:
        """One object, or None."""
        with self.changed:
            return self._at((kind, namespace, name), 0)

    def every(self, kind: Kind, namespace: str = "", versions_back: int = 0) -> list[Document]:
        """The objects of a kind, of one namespace or all, in order of their names."""
        with self.changed:
            keys = sorted(key[1:] for key in self._objects if key[0] == kind and namespace in {"", key[1]})
            found = [self._at((kind, *key), versions_back) for key in keys]
        return [document for document in found if document is not None]

    def create(self, kind: Kind, document: Document, dry_run: bool = False) -> Document:
        """Store a new object.

        Raises:
            StatusError: 404 of its namespace, 409 when it is there, 400, 422 or 403 when it is not allowed.
        """
        new = copy.deepcopy(document)
        meta = new.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = f"{meta['generateName']}{uuid.uuid4().hex[:5]}"
        if not meta.get("name"):
            raise bad_request("metadata.name: Required value: name or generateName is required")
        key = (kind, meta.get("namespace", "") if kind.namespaced else "", meta["name"])
        with self.changed:
            if kind.namespaced and (NAMESPACE, "", key[1]) not in self._objects:
                raise not_found(NAMESPACE, key[1])
            if key in self._objects:
                raise already_exists(kind, key[2])
            if meta.pop("resourceVersion", ""):
                raise bad_request("resourceVersion should not be set on objects to be created", key[2])
            if kind.status:
                new.pop("status", None)
            new = self._admitted(kind, new, None)
            now = timestamp()
            new["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
            if kind.status:
                new["metadata"]["generation"] = 1
            new |= {"apiVersion": kind.api_version, "kind": kind.kind}
            return new if dry_run else self._save(key, new, "ADDED")

    def patch(self, kind: Kind, namespace: str, name: str, patch: Document, dry_run: bool = False) -> Document:
        """Apply a JSON merge patch (RFC 7396). StatusError as of `update`."""
        with self.changed:
            return self._update(kind, merge_patch(self.get(kind, namespace, name), patch), dry_run, patch=True)

    def update(self, kind: Kind, document: Document, dry_run: bool = False) -> Document:
        """Replace an object, except its status where that is a subresource.

        Raises:
            StatusError: 404, 409 when it carries another version or uid than the live one, 400, 422 or 403.
        """
        return self._update(kind, document, dry_run, patch=False)

    def _update(self, kind: Kind, document: Document, dry_run: bool, patch: bool) -> Document:
        meta = document.get("metadata", {})
        key = (kind, meta.get("namespace", "") if kind.namespaced else "", meta.get("name", ""))
        with self.changed:
            old = self.get(*key)
            for field in ("resourceVersion", "uid"):
                if meta.get(field, old["metadata"][field]) != old["metadata"][field]:
                    raise conflict(kind, key[2])
            new = copy.deepcopy(document)
            kept = {field: old["metadata"][field] for field in _FIXED if field in old["metadata"]}
            new["metadata"] = {**new["metadata"], **kept}
            new |= {"apiVersion": kind.api_version, "kind": kind.kind}
            if kind.status:
                new = {**new, "status": old.get("status")} if "status" in old else _without(new, "status")
            new = self._admitted(kind, new, old, patch)
            if new == old:
                return old
            if kind.status and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            return new if dry_run else self._save(key, new, "MODIFIED")

    def delete(self, kind: Kind, namespace: str, name: str, dry_run: bool = False) -> Document:
        """Remove an object, and then whatever it owns."""
        with self.changed:
            old = self.get(kind, namespace, name)
            if not dry_run:
                self._remove((kind, namespace, name))
            return old

    def collect(self, uid: str) -> None:
        """Remove whatever an object owns that is gone."""
        with self.changed:
            for key, owned in list(self._objects.items()):
                owners: list[Mapping[str, Any]] = owned["metadata"].get("ownerReferences", [])
                if key in self._objects and any(owner.get("uid") == uid for owner in owners):
                    self._remove(key)

    def set_status(self, kind: Kind, namespace: str, name: str, status: Document) -> None:
        """Replace the status, as a controller does; nothing happens when it is the same, or the object is gone."""
        with self.changed:
            old = self.find(kind, namespace, name)
            if old is not None and old.get("status") != status:
                self._save((kind, namespace, name), {**old, "status": copy.deepcopy(status)}, "MODIFIED")

    def apply(self, kind: Kind, document: Document) -> Document:
        """Create an object, or replace what a controller wants of it."""
        meta = document["metadata"]
        with self.changed:
            old = self.find(kind, meta.get("namespace", ""), meta["name"])
            if old is None:
                return self.create(kind, document)
            return self.update(kind, {**document, "metadata": {**old["metadata"], **meta}})

    def event(self, about: Document, reason: str, message: str, warning: bool = False) -> None:
        """Record an Event about an object, as controllers do; a repetition is counted."""
        meta = about["metadata"]
        name = f"{meta['name']}.{uuid.uuid5(uuid.NAMESPACE_OID, meta.get('uid', '') + reason + message).hex[:16]}"
        now = timestamp()
        with self.changed:
            old = self.find(EVENT, meta["namespace"], name) or {}
            document = {
                "metadata": {"name": name, "namespace": meta["namespace"]},
                "involvedObject": {"kind": about["kind"], **{key: meta[key] for key in ("namespace", "name")}},
                "reason": reason,
                "message": message,
                "type": "Warning" if warning else "Normal",
                "count": old.get("count", 0) + 1,
                "firstTimestamp": old.get("firstTimestamp", now),
                "lastTimestamp": now,
            }
            self.apply(EVENT, document)

    def changes_since(self, version: int, timeout_seconds: float) -> list[WatchEvent]:
        """What happened after a version, as soon as there is something.

        Raises:
            StatusError: 410 when that is too long ago.
        """
        until = time.monotonic() + timeout_seconds
        with self.changed:
            while True:
                if (
                    self._history
                    and version < self._history[0].version - 1
                    and len(self._history) == _REMEMBERED_EVENTS
                ):
                    raise StatusError(410, "Expired", f"too old resource version: {version} ({self._version})")
                found = [change for change in reversed(self._history) if change.version > version][::-1]
                left = until - time.monotonic()
                if found or left <= 0:
                    return found
                self.changed.wait(left)

    @contextlib.contextmanager
    def listening(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call the listener at each change, in the thread that makes it, until the block ends."""
        with self.changed:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self.changed:
                self._listeners.remove(listener)

    def _at(self, key: Key, versions_back: int) -> Document | None:
        if not versions_back:
            return copy.deepcopy(self._objects.get(key))
        past = self._past.get(key, deque())
        return copy.deepcopy(past[-versions_back]) if len(past) >= versions_back else None

    def _admitted(self, kind: Kind, new: Document, old: Document | None, patch: bool = False) -> Document:
        if new == old:
            return new
        check_values(kind, new, patch)
        new = without_unknown(kind, new)
        if kind == INFERENCE_SERVICE:
            new = _defaulted(new)
            self._admit(new, old)
        return new

    def _save(self, key: Key, document: Document, change: Literal["ADDED", "MODIFIED"]) -> Document:
        self._remember(key)
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self._objects[key] = document
        self._publish(key, change, document)
        return copy.deepcopy(document)

    def _remove(self, key: Key) -> None:
        self._remember(key)
        self._version += 1
        document = self._objects.pop(key)
        document["metadata"]["resourceVersion"] = str(self._version)
        self._publish(key, "DELETED", document)
        self.collect(document["metadata"]["uid"])

    def _remember(self, key: Key) -> None:
        self._past.setdefault(key, deque(maxlen=_REMEMBERED_VERSIONS)).append(copy.deepcopy(self._objects.get(key)))

    def _publish(self, key: Key, change: Literal["ADDED", "MODIFIED", "DELETED"], document: Document) -> None:
        self._history.append(WatchEvent(self._version, key, change, copy.deepcopy(document)))
        self.changed.notify_all()
        for listener in self._listeners:
            listener()


_FIXED = ("uid", "creationTimestamp", "generation", "resourceVersion")


def _without(document: Document, field: str) -> Document:
    return {key: value for key, value in document.items() if key != field}


def _defaulted(document: Document) -> Document:
    """What KServe's mutating webhook fills in."""
    model = document["spec"]["predictor"].get("model")
    if isinstance(model, dict):
        document["spec"]["predictor"]["model"] = {"name": "", "resources": {}, **model}
    return document
