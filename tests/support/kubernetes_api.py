"""The embedded API server without controllers, with a script of what goes wrong request by request."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_kserve.controllers.manifests import install_defaults
from embedded_kserve.faults import Fault, FaultBook
from embedded_kserve.kubernetes.admission import review
from embedded_kserve.kubernetes.api_server import ApiServer as EmbeddedApiServer
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE, NAMESPACE, installed
from embedded_kserve.kubernetes.store import Store
from kubeline.kubernetes.merge import merge, merge_patch

Key = tuple[str, str]  # namespace and name
Step = Fault | Callable[["ApiServer"], Fault | None]

BROKEN = Fault(action="reset-before")
_METHODS = {"create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}


def status(code: int, reason: str, message: str, retry_after: float = 0) -> Fault:
    """An answer instead of what was asked for."""
    return Fault(action="status", code=code, reason=reason, message=message, retry_after=retry_after)


def kubeconfig_of(url: str, folder: Path, **user: str) -> str:
    """A kubeconfig for an API server at a URL; `user` is how it is asked."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
    }
    path = folder / "kubeconfig-of-its-own"
    path.write_text(json.dumps(config))
    return str(path)


class _Script(FaultBook):
    """Takes one step for each request; a step that is a function is called with the server, and may return a fault."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.server: ApiServer

    def take(self, verb: str, resource: str, name: str) -> Fault | None:
        step = self.steps.pop(0) if self.steps else None
        return step if step is None or isinstance(step, Fault) else step(self.server)


class ApiServer(EmbeddedApiServer):
    """Holds InferenceServices, and answers as `faults` says before all else; each fault is used once."""

    def __init__(self) -> None:
        self._script = _Script()
        store = Store(installed("standard"), lambda new, old: review(new, old, "Standard"))
        install_defaults(store, "standard")
        super().__init__(store, self._script)
        self._script.server = self

    def script(self, *steps: Step) -> None:
        """What happens to the requests that follow."""
        self._script.steps = list(steps)

    def kubeconfig(self, folder: Path) -> str:
        return str(self.write_kubeconfig(folder / "kubeconfig"))

    @property
    def requests(self) -> list[tuple[str, dict[str, str], str, Any]]:
        """What was asked: method, query, content type, body."""
        noted = self._script.answer("GET", "requests", None)
        return [(_METHODS.get(r["verb"], "GET"), r["query"], r["content_type"], r["body"]) for r in noted]

    def methods(self) -> list[str]:
        return [request[0] for request in self.requests]

    def forget_requests(self) -> None:
        self._script.answer("DELETE", "requests", None)

    def object(self, key: Key) -> dict[str, Any]:
        return self.store.get(INFERENCE_SERVICE, *key)

    def holds(self, key: Key, manifest: dict[str, Any]) -> bool:
        """Whether everything in the manifest is there; KServe adds to it."""
        return merge_patch(self.object(key), manifest) == {}

    def edit(self, key: Key, patch: dict[str, Any]) -> None:
        """What someone else does."""
        live = self.store.find(INFERENCE_SERVICE, *key)
        if live is None:
            self.store.create(INFERENCE_SERVICE, merge({"metadata": {"namespace": key[0], "name": key[1]}}, patch))
        else:
            self.store.update(INFERENCE_SERVICE, merge(live, patch))

    def delete(self, key: Key) -> None:
        self.store.delete(INFERENCE_SERVICE, *key)

    def uninstall_kserve(self) -> None:
        self.store.kinds = ()

    def delete_namespace(self, name: str) -> None:
        self.store.delete(NAMESPACE, "", name)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """One without anything in it but what a cluster with KServe has."""
    with ApiServer() as running:
        yield running
