"""The API server by its REST form, asked with bounds on time; each failure is one sentence."""

import json
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPResponse
from typing import Any

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.exchange import HttpResponse
from kubeline.http.json_api import JsonApi
from kubeline.http.requests import MissingError, RefusedError, TakenError, UnclearError, failure, repeated
from kubeline.http.time_budget import TimeBudget
from kubeline.kubernetes.replies import without_nulls
from kubeline.platform.compiled import Json
from kubeline.platform.kfp.credentials import Identity

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
API = "/apis/v2beta1"
_PIECE = 2**16  # bytes
_MAX_TEXT = 16 * 2**20  # bytes
_MAX_ANSWER = 256 * 2**20  # bytes: a list of a hundred runs holds the pipeline of each


@dataclass(frozen=True)
class KfpAccess:
    """Where the API server is, and who we are.

    Attributes:
        host: its address, or that of the UI or gateway in front of it.
        namespace: of a profile, where several users share the installation; empty in an installation of one.
        identity: how to sign in.
        ca_file: certificates to check the server's with, instead of the usual ones.
        ui: address of the UI for links, where it is another one.
        patience: seconds for all tries of a request.
    """

    host: str
    namespace: str = ""
    identity: Identity = field(default_factory=Identity)
    ca_file: str = ""
    ui: str = ""
    patience: float = 120.0


class KfpConnection(JsonApi):
    """Kubeflow Pipelines."""

    def __init__(self, access: KfpAccess) -> None:
        self.access = access
        self.host = access.host.rstrip("/")
        headers = access.identity.headers(self.host, access.ca_file)
        super().__init__(
            self.host,
            "Kubeflow Pipelines",
            known=headers.current,
            renew=headers.renew,
            patience=access.patience,
            ca_file=access.ca_file,
            most_bytes=_MAX_ANSWER,
        )
        self.place = self.host

    @cached_property
    def namespace(self) -> str:
        """The profile's namespace; empty in an installation of one user.

        Raises:
            UserError: when several users share the installation and none is given.
            PlatformError: when what answers is no Kubeflow Pipelines.
        """
        several = self.read(f"{API}/healthz").get("multi_user")
        if several is None:
            raise PlatformError(
                f"what answers at {self.host} is no API server of Kubeflow Pipelines; check --host (behind Kubeflow's "
                "gateway it ends with /pipeline), and whether you must sign in"
            )
        if several and not self.access.namespace:
            raise UserError(f"several users share the installation at {self.host}; give your profile's --namespace")
        return self.access.namespace if several else ""

    def read(self, path: str, **query: Any) -> Json:
        found = super().read(path, **query)
        if not isinstance(found, dict):
            raise UnclearError(f"{self.host} answers what the API does not ({type(found).__name__}); check --host")
        return dict(without_nulls(found))

    def link(self, path: str) -> str:
        """Address of a page of the UI."""
        return f"{(self.access.ui or self.host).rstrip('/')}/#/{path}"

    def make(
        self,
        path: str,
        body: Any,
        find: Callable[[], str | None],
        key: str,
        what: str,
        kind: str = "application/json",
    ) -> str:
        """Make an object once, whoever else makes it at the same time, and return its identifier.

        Args:
            path: as for `write`.
            body: as for `write`.
            find: searches for the identifier of what the request makes.
            key: what the answer calls the identifier.
            what: is made, for errors.
            kind: of the body.

        Raises:
            UserError: as for `read`.
            PlatformError: as for `read`, and when the server does not say what it has made.
        """

        def there() -> Json | None:
            identifier = find()
            return {key: identifier} if identifier else None

        try:
            made = self.write("POST", path, body, there, kind)
        except TakenError:  # somebody else was faster
            made = there()
        if not (made and made.get(key)):
            raise PlatformError(f"the server has made {what}, and does not say which; try again")
        return str(made[key])

    def text(self, path: str, patience: float = math.inf) -> str | None:
        """A plain text, such as a log, of a long one the end; None where there is none, or another thing.

        Args:
            path: with its leading slash.
            patience: seconds for all tries, where less than the access allows.

        Raises:
            UserError: when we may not read it.
            UnclearError: when the server does not answer, or has no time to.
        """

        def ask(budget: TimeBudget) -> str | None:
            answer = self._asked("GET", path, None, budget, {"Accept": "text/plain"}, _end_of)
            # The UI answers what it does not know with its own page. What is no UTF-8 is shown as such.
            return None if "html" in answer.content_type else answer.body.decode(errors="backslashreplace")

        try:
            return repeated(ask, min(self.access.patience, patience), self._renew)
        except UnclearError:
            raise
        except (MissingError, PlatformError):  # a pod that is gone is answered by 500
            return None

    def _may_know(self) -> bool:
        return True  # the headers know better: a token goes in the clear within a cluster too

    def _translated(self, answer: HttpResponse) -> KubelineError:
        status, said = answer.status, _message(answer.body)
        if status == 401 or 300 <= status < 400:
            return RefusedError(
                f"{self.host} does not know us ({status}): the token or session is missing, wrong or expired; give a "
                "new one by --token-file, --cookie-file, --iap-client-id or --dex-user"
            )
        if "ResourceNotFoundError" in said:  # a run of an unknown pipeline is answered by 500
            return MissingError(f"{self.host} says: {said}")
        return failure(self.host, status, said, "ask for the right, or give another --namespace", answer.retry_after)


def _end_of(answer: HTTPResponse) -> bytes:
    """The last bytes of a text, which says so when they are not all."""
    kept, size, left_out = deque[bytes](), 0, 0
    while piece := answer.read(_PIECE):
        kept.append(piece)
        size += len(piece)
        while size - len(kept[0]) >= _MAX_TEXT:
            size -= len(kept[0])
            left_out += len(kept.popleft())
    text = b"".join(kept)
    return b"[%d bytes before this are left out]\n%s" % (left_out, text) if left_out else text


def _message(body: bytes) -> str:
    """What the API server says, in one line: the innermost of the messages that it nests."""
    try:
        document = json.loads(body)
        details = document.get("details") or [{}]
        said = details[0].get("message") or document.get("message") or document.get("error_message") or ""
        outer = document.get("message") or ""
        said = outer if "ResourceNotFoundError" in outer else said
    except (ValueError, TypeError, AttributeError, LookupError):
        said = body[:200].decode(errors="replace")
    return " ".join(str(said).split())[:400] or "no reason is given"
