"""The services of Vertex AI for pipelines, and what they printed, by their REST form; each failure is one sentence."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubeline.addresses import vertex_service
from kubeline.errors import UserError
from kubeline.http.credentials import secret_in
from kubeline.http.google import GoogleCredentials, google_api
from kubeline.http.json_api import JsonApi


@dataclass(frozen=True)
class VertexAccess:
    """Where the jobs run, and who we are.

    Attributes:
        project: of Google Cloud.
        location: region.
        token_file: file of an access token, read anew for each request; empty: Google's default credentials.
        endpoint: address of the service, such as that of Private Service Connect; empty for the region's.
        logging_endpoint: address of Cloud Logging; empty for Google's.
        patience: seconds for all tries of a request.
    """

    project: str
    location: str
    token_file: str = ""
    endpoint: str = ""
    logging_endpoint: str = ""
    patience: float = 120.0


class VertexConnection:
    """The services for pipelines and schedules."""

    def __init__(self, access: VertexAccess) -> None:
        if not access.project or not access.location:
            raise UserError("where on Vertex? Give --project and --location")
        self.access = access
        self.parent = f"projects/{access.project}/locations/{access.location}"
        self._credentials = _TokenFile(access.token_file) if access.token_file else GoogleCredentials()

    @cached_property
    def api(self) -> JsonApi:
        """The service for pipeline jobs and schedules."""
        usual = vertex_service(self.access.location)
        return self._service("aiplatform", usual, self.access.endpoint, "the role aiplatform.user")

    def log(self, job: str, most: int) -> list[str]:
        """The last lines that a custom job has printed, the oldest first.

        Raises:
            KubelineError: when they cannot be read.
        """
        wanted = {
            "resourceNames": [f"projects/{self.access.project}"],
            "filter": f'resource.type="ml_job" AND resource.labels.job_id="{job}"',
            "orderBy": "timestamp desc",
            "pageSize": most,
        }
        usual = "https://logging.googleapis.com"
        logging = self._service("logging", usual, self.access.logging_endpoint, "the role logging.viewer")
        found = logging.write("POST", "/v2/entries:list", wanted)
        return [_line(entry) for entry in reversed(found.get("entries", []))]

    def _service(self, service: str, usual: str, given: str, needed: str) -> JsonApi:
        return google_api(service, usual, self._credentials, needed, self.access.patience, given)


class _TokenFile(GoogleCredentials):
    """A token that somebody else renews in a file."""

    def __init__(self, file: str) -> None:
        self._file = file

    def token(self) -> str:
        return secret_in(self._file, "the token")

    def renew(self) -> bool:
        return True


def _line(entry: Any) -> str:
    payload = entry.get("jsonPayload") or {}
    return str(entry.get("textPayload") or payload.get("message") or "")
