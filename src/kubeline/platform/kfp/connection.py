"""The API server, asked with bounds on time; each failure is one sentence."""

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any, TypeVar

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.requests import (
    MissingError,
    RefusedError,
    TakenError,
    UnclearError,
    failure,
    found_or_made,
    repeated,
)
from kubeline.http.time_budget import TimeBudget, within
from kubeline.platform.kfp.credentials import AuthHeaders, Identity

T = TypeVar("T")

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
_PIECE = 2**16  # bytes
_MAX_TEXT = 16 * 2**20  # bytes


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


class KfpConnection:
    """Kubeflow Pipelines by the services of ``kfp_server_api``."""

    def __init__(self, access: KfpAccess) -> None:
        import kfp_server_api as api
        import urllib3

        self.access = access
        self.host = access.host.rstrip("/")
        settings = api.Configuration(host=self.host)
        settings.ssl_ca_cert = access.ca_file or None
        settings.retries = urllib3.Retry(0, redirect=0, raise_on_redirect=False)  # tries are counted here
        self._headers: AuthHeaders = access.identity.headers(self.host, access.ca_file)
        self._client = api.ApiClient(settings)
        self.runs = api.RunServiceApi(self._client)
        self.recurring = api.RecurringRunServiceApi(self._client)
        self.experiments = api.ExperimentServiceApi(self._client)
        self.pipelines = api.PipelineServiceApi(self._client)
        self.uploads = api.PipelineUploadServiceApi(self._client)
        self._health = api.HealthzServiceApi(self._client)

    @cached_property
    def namespace(self) -> str:
        """The profile's namespace; empty in an installation of one user.

        Raises:
            UserError: when several users share the installation and none is given.
            PlatformError: when what answers is no Kubeflow Pipelines.
        """
        health = self.read(self._health.healthz_service_get_healthz)
        if getattr(health, "multi_user", None) is None:
            raise PlatformError(
                f"what answers at {self.host} is no API server of Kubeflow Pipelines; check --host (behind Kubeflow's "
                "gateway it ends with /pipeline), and whether you must sign in"
            )
        if health.multi_user and not self.access.namespace:
            raise UserError(f"several users share the installation at {self.host}; give your profile's --namespace")
        return self.access.namespace if health.multi_user else ""

    def link(self, path: str) -> str:
        """Address of a page of the UI."""
        return f"{(self.access.ui or self.host).rstrip('/')}/#/{path}"

    def read(self, call: Callable[..., T], *words: Any, **fields: Any) -> T:
        """Ask; repeated where that can help.

        Raises:
            UserError: what was asked for is wrong, or we are refused.
            PlatformError: no answer in time.
        """
        return self._repeated(lambda budget: self._once(call, budget, *words, **fields))

    def write(self, call: Callable[..., T], find: Callable[[], T | None], *words: Any, **fields: Any) -> T:
        """Ask for a change; where it is not clear whether an earlier try took effect, check before repeating it.

        Args:
            call: a method of a service.
            find: searches for what the change makes.
            words: of the call.
            fields: of the call.

        Raises:
            ConflictError: when it is there already.
            UserError: as for `read`.
            PlatformError: as for `read`.
        """
        return self._repeated(found_or_made(lambda budget: self._once(call, budget, *words, **fields), find))

    def make(
        self, call: Callable[..., Any], find: Callable[[], str | None], key: str, what: str, *words: Any, **fields: Any
    ) -> str:
        """Make an object once, whoever else makes it at the same time, and return its identifier.

        Args:
            call: a method of a service.
            find: searches for the identifier of what the call makes.
            key: what the answer calls the identifier.
            what: is made, for errors.
            words: of the call.
            fields: of the call.

        Raises:
            UserError: as for `read`.
            PlatformError: as for `read`, and when the server does not say what it has made.
        """

        def there() -> Any:
            identifier = find()
            return SimpleNamespace(**{key: identifier}) if identifier else None

        try:
            made = self.write(call, there, *words, **fields)
        except TakenError:  # somebody else was faster
            made = there()
        if not getattr(made, key, None):
            raise PlatformError(f"the server has made {what}, and does not say which; try again")
        return str(getattr(made, key))

    def each(self, call: Callable[..., Any], of: str, size: int = 100, **fields: Any) -> Iterator[Any]:
        """The objects of a list, `size` in each request; `of` is what the answer calls them."""
        token = ""
        while True:
            page = self.read(call, page_token=token, page_size=size, **fields)
            yield from getattr(page, of) or []
            token = page.next_page_token or ""
            if not token:
                return

    def text(self, path: str, patience: float = math.inf) -> str | None:
        """A plain text, such as a log, of a long one the end; None where there is none, or another thing.

        Args:
            path: with its leading slash.
            patience: seconds for all tries, where less than the access allows.

        Raises:
            UserError: when we may not read it.
            UnclearError: when the server does not answer, or has no time to.
        """

        def ask(**bounds: Any) -> str | None:
            plain = {"header_params": {"Accept": "text/plain"}, "_preload_content": False}
            with closing(self._client.call_api(path, "GET", **plain, **bounds)) as answer:
                if "html" in str(answer.headers.get("content-type")):
                    return None  # the UI answers what it does not know with its own page
                return _end_of(answer.stream(_PIECE))

        try:
            return self._repeated(lambda left: self._once(ask, left), patience)
        except UnclearError:
            raise
        except (MissingError, PlatformError):  # a pod that is gone is answered by 500
            return None

    def _repeated(self, attempt: Callable[[TimeBudget], T], most: float = math.inf) -> T:
        return repeated(attempt, min(self.access.patience, most), self._headers.renew)

    def _once(self, call: Callable[..., T], budget: TimeBudget, *words: Any, **fields: Any) -> T:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        self._client.default_headers.pop("Authorization", None)
        self._client.cookie = None
        shown = self._headers.current()
        self._client.cookie = shown.get("Cookie")
        if "Authorization" in shown:
            self._client.default_headers["Authorization"] = shown["Authorization"]
        seconds = budget.left()
        bound = (min(10.0, seconds), seconds)
        try:
            return within(seconds, lambda: call(*words, _request_timeout=bound, **fields), f"the server at {self.host}")
        except ApiException as error:
            raise _translated(error, self.host) from None  # it holds the answer's headers
        except HTTPError as error:
            reason = type(getattr(error, "reason", None) or error).__name__
            raise UnclearError(f"{self.host} does not answer ({reason}); check --host") from None
        except (ValueError, TypeError, UnicodeError) as error:
            if isinstance(error, KubelineError):
                raise
            raise UnclearError(f"{self.host} answers what the API does not ({type(error).__name__})") from None
        except PlatformError as error:
            raise error if isinstance(error, UnclearError) else UnclearError(str(error)) from None


def _end_of(pieces: Iterable[bytes]) -> str:
    """The last bytes of a text, which says so when they are not all; what is no UTF-8 is shown as such."""
    kept, size, left_out = deque[bytes](), 0, 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        while size - len(kept[0]) >= _MAX_TEXT:
            size -= len(kept[0])
            left_out += len(kept.popleft())
    text = b"".join(kept).decode(errors="backslashreplace")
    return f"[{left_out} bytes before this are left out]\n{text}" if left_out else text


def _translated(error: Any, host: str) -> KubelineError:
    """The sentence of an answer that is no success."""
    status, said = error.status or 0, _message(error.body)
    if status == 401 or 300 <= status < 400:
        return RefusedError(
            f"{host} does not know us ({status}): the token or session is missing, wrong or expired; give a new one by "
            "--token-file, --cookie-file, --iap-client-id or --dex-user"
        )
    if "ResourceNotFoundError" in said:  # a run of an unknown pipeline is answered by 500
        return MissingError(f"{host} says: {said}")
    if status == 0:
        return UnclearError(f"{host} is not available ({said}); try again later")
    headers = {key.lower(): value for key, value in dict(error.headers or {}).items()}
    after = str(headers.get("retry-after", ""))
    return failure(host, status, said, "ask for the right, or give another --namespace", after)


def _message(body: Any) -> str:
    """What the API server says, in one line: the innermost of the messages that it nests."""
    try:
        document = json.loads(body)
        details = document.get("details") or [{}]
        said = details[0].get("message") or document.get("message") or document.get("error_message") or ""
        outer = document.get("message") or ""
        said = outer if "ResourceNotFoundError" in outer else said
    except (ValueError, TypeError, AttributeError, LookupError):
        said = str(body or "")[:200]
    return " ".join(str(said).split())[:400] or "no reason is given"
