"""The services of Vertex AI, asked with bounds on time; each failure is one sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from kubeline.addresses import vertex_service
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.exchange import LOOPBACK
from kubeline.http.requests import UnclearError, failure, found_or_made, repeated
from kubeline.http.time_budget import TimeBudget, within
from kubeline.mounted import mounted_text

T = TypeVar("T")

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_LOGGING = "https://logging.googleapis.com"


@dataclass(frozen=True)
class VertexAccess:
    """Where the jobs run, and who we are.

    Attributes:
        project: of Google Cloud.
        location: region.
        token_file: file of an access token, read anew when one is refused; empty: Google's default credentials.
        endpoint: address of the service, such as that of Private Service Connect; empty for the region's.
        logging_endpoint: address of Cloud Logging.
        patience: seconds for all tries of a request.
    """

    project: str
    location: str
    token_file: str = ""
    endpoint: str = ""
    logging_endpoint: str = _LOGGING
    patience: float = 120.0


class VertexConnection:
    """The services for pipelines and schedules."""

    def __init__(self, access: VertexAccess) -> None:
        if not access.project or not access.location:
            raise UserError("where on Vertex? Give --project and --location")
        self.access = access
        self.parent = f"projects/{access.project}/locations/{access.location}"
        self._address = access.endpoint or vertex_service(access.location)

    @cached_property
    def jobs(self) -> Any:
        """The service for pipeline jobs."""
        from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
        from google.cloud.aiplatform_v1.services.pipeline_service.transports.rest import PipelineServiceRestTransport

        return PipelineServiceClient(transport=self._transport(PipelineServiceRestTransport))

    @cached_property
    def schedules(self) -> Any:
        """The service for schedules."""
        from google.cloud.aiplatform_v1.services.schedule_service import ScheduleServiceClient
        from google.cloud.aiplatform_v1.services.schedule_service.transports.rest import ScheduleServiceRestTransport

        return ScheduleServiceClient(transport=self._transport(ScheduleServiceRestTransport))

    def read(self, call: Callable[..., T], **request: Any) -> T:
        """Ask; repeated where that can help.

        Args:
            call: a method of a service.
            request: its fields.

        Raises:
            UserError: what was asked for is wrong, or we are refused.
            PlatformError: no answer in time.
        """
        return self._repeated(lambda budget: self._once(call, budget, request))

    def write(self, call: Callable[..., T], find: Callable[[], T | None], **request: Any) -> T:
        """Ask for a change; where it is not clear whether an earlier try took effect, check before repeating it."""
        return self._repeated(found_or_made(lambda budget: self._once(call, budget, request), find))

    def log(self, job: str, most: int) -> list[str]:
        """The last lines that a custom job has printed, the oldest first. Cloud Logging has no client here but HTTP.

        Raises:
            KubelineError: when they cannot be read.
        """
        wanted = {
            "resourceNames": [f"projects/{self.access.project}"],
            "filter": f'resource.type="ml_job" AND resource.labels.job_id="{job}"',
            "orderBy": "timestamp desc",
            "pageSize": most,
        }
        address = f"{_checked_address(self.access.logging_endpoint)}/v2/entries:list"

        def ask(timeout: float) -> Any:
            from google.auth.transport.requests import AuthorizedSession

            answer = AuthorizedSession(self._credentials).post(address, json=wanted, timeout=timeout)
            if answer.status_code != 200:
                raise UserError(f"Cloud Logging refuses to show the log ({answer.status_code}); ask for logging.viewer")
            return answer.json()

        found = self._repeated(lambda budget: self._once(ask, budget, {}, retried=False))
        return [_line(entry) for entry in reversed(found.get("entries", []))]

    @cached_property
    def _credentials(self) -> Any:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        if self.access.token_file:
            return _of_file(self.access.token_file)
        try:
            credentials, _ = google.auth.default(scopes=_SCOPES)
        except DefaultCredentialsError as error:
            raise UserError(
                "Google Cloud does not know us; set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, "
                "run `gcloud auth application-default login`, or give --token-file"
            ) from error
        return credentials

    def _transport(self, kind: Any) -> Any:
        parts = urlsplit(_checked_address(self._address))
        return kind(host=parts.netloc, url_scheme=parts.scheme, credentials=self._credentials)

    def _repeated(self, attempt: Callable[[TimeBudget], T]) -> T:
        return repeated(attempt, self.access.patience)

    def _once(self, call: Callable[..., T], budget: TimeBudget, request: Any, retried: bool = True) -> T:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError, TransportError
        from requests import RequestException

        seconds = budget.left()
        fields = {"request": request, "retry": None} if retried else {}  # tries are counted here
        try:
            return within(seconds, lambda: call(timeout=seconds, **fields), f"the server at {self._address}")
        except GoogleAPICallError as error:
            raise _translated(error, self._address) from None
        except (TransportError, RequestException) as error:
            raise UnclearError(f"{self._address} does not answer ({type(error).__name__}); check --endpoint") from None
        except GoogleAuthError as error:
            raise UserError(f"Google gives no access token ({type(error).__name__}); renew the credentials") from None
        except PlatformError as error:
            raise error if isinstance(error, UnclearError) else UnclearError(str(error)) from None


def _of_file(file: str) -> Any:
    """Credentials that read their token anew whenever it is refused."""
    from google.auth.credentials import Credentials
    from google.auth.exceptions import RefreshError

    class FileCredentials(Credentials):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]

        def refresh(self, request: Any) -> None:
            try:
                self.token = mounted_text(file, "ascii").strip()
            except (OSError, ValueError) as error:
                raise RefreshError(f"the token cannot be read from '{file}'") from error

    if not Path(file).expanduser().is_file():
        raise UserError(f"there is no file '{file}'; give --token-file a file that holds an access token")
    return FileCredentials()


def _checked_address(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise UserError(f"a token goes over https:// only, but the address is '{address}'; give its https:// address")
    return address.rstrip("/")


def _translated(error: Any, address: str) -> KubelineError:
    """The sentence of an answer that is no success."""
    status, said = int(error.code or 0), " ".join(str(error.message).split())[-400:]
    if status == 401:
        return UserError(f"{address} does not know us (401): the token is missing, wrong or expired; give a new one")
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return failure(address, status, said, "ask for the role aiplatform.user", str(headers.get("Retry-After", "")))


def _line(entry: Any) -> str:
    payload = entry.get("jsonPayload") or {}
    return str(entry.get("textPayload") or payload.get("message") or "")
