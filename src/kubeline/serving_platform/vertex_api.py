"""Vertex AI's REST interface for endpoints and models, as far as a rollout needs it, and Cloud Storage's."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from kubeline.addresses import vertex_service
from kubeline.errors import PlatformError, UserError
from kubeline.http.exchange import ExchangeError, Peer
from kubeline.http.google import GoogleCredentials, address_of, google_api
from kubeline.http.json_api import JsonApi
from kubeline.http.requests import MissingError, StaleError, TakenError, UnclearError
from kubeline.kubernetes.errors import ConflictError, UnavailableError
from kubeline.serving_platform.store_documents import StoreDocuments
from kubeline.serving_platform.vertex_address import VertexAddress

logger = logging.getLogger(__name__)

_MOST_BYTES = 16 * 2**20  # of an answer
_PAGE = 100
_PATIENCE = 10.0  # seconds for all tries of a request: a rollout has tries of its own
_ROLE = "the role aiplatform.user"
PERMISSIONS = (
    *(f"aiplatform.endpoints.{verb}" for verb in ("get", "create", "update", "deploy", "undeploy", "predict")),
    *(f"aiplatform.models.{verb}" for verb in ("get", "upload")),
    "monitoring.timeSeries.list",
)


@contextmanager
def translated() -> Iterator[None]:
    """What a rollout distinguishes: a conflict, and no answer."""
    try:
        yield
    except UnclearError as error:
        raise UnavailableError(str(error), error.retry_after) from error
    except (StaleError, TakenError) as error:
        raise ConflictError(str(error)) from error


class VertexApi:
    """The services of one project and region. Each thread has connections of its own: a cancelled step uses two.

    Args:
        address: where.
        seconds: for each request of a prediction.
    """

    def __init__(self, address: VertexAddress, seconds: float) -> None:
        self.address = address
        self._seconds = seconds
        self._credentials = GoogleCredentials()
        self._of_thread = threading.local()
        self._url = address_of("aiplatform", vertex_service(address.location))

    def read(self, name: str) -> Any:
        """A resource by its full name; None where there is none."""
        return self.vertex.find(f"/v1/{name}")

    def write(self, method: str, path: str, body: Any) -> Any:
        """Ask for a change; what is not clear is not tried again here, since a rollout reads before it repeats."""
        return self.vertex.write(method, f"/v1/{path}", body)

    def is_busy(self, name: str) -> bool:
        """Whether an operation of an endpoint is not done: a deployment that ends after its rollout would stay."""
        found = self.vertex.read(f"/v1/{name}/operations", pageSize=_PAGE)
        return any(not one.get("done") for one in found.get("operations", []))

    def versions(self, model: str, wanted: str) -> Iterator[Any]:
        """The versions of a model that a filter lets through; none where there is no model."""
        with suppress(MissingError):
            path = f"/v1/{self.address.parent}/models/{model}:listVersions"
            yield from self.vertex.each(path, "models", filter=wanted, pageSize=_PAGE)

    @property
    def documents(self) -> StoreDocuments:
        """In the folder of the address."""
        return StoreDocuments(self.address.store, self.storage)

    def check_permissions(self) -> None:
        """Check all rights at once.

        Raises:
            PlatformError: that names those that are missing.
        """
        api = self._api("cloudresourcemanager", "https://cloudresourcemanager.googleapis.com", "a role in the project")
        path = f"/v1/projects/{self.address.project}:testIamPermissions"
        try:
            answer = api.write("POST", path, {"permissions": list(PERMISSIONS)})
        except UserError as error:  # the API may be switched off in the project
            logger.info("the rights are not known beforehand: %s", error)
            return
        missing = [one for one in PERMISSIONS if one not in answer.get("permissions", [])]
        if missing:
            raise PlatformError(
                f"these credentials lack {', '.join(missing)} in project {self.address.project}; give the account "
                "the roles aiplatform.user and monitoring.viewer"
            )

    def ask(self, endpoint: str, body: bytes, seconds: float) -> tuple[int, bytes]:
        """Ask an endpoint by rawPredict, whose answer is the model's own to the byte; return status and body.

        Raises:
            UnavailableError: when there is no answer.
        """
        path = f"{urlsplit(self._url).path}/v1/{endpoint}:rawPredict"
        for renewed in (False, True):
            headers = {"Content-Type": "application/json", **self._credentials.headers()}
            try:
                answer = self._peer.exchange(
                    "POST", path, headers, body, seconds=min(seconds, self._seconds), most_bytes=_MOST_BYTES
                )
            except ExchangeError as error:
                raise UnavailableError(f"{self._peer.where} gives no answer: {error}") from error
            if answer.status != 401 or renewed or not self._credentials.renew():
                break
        return answer.status, answer.body

    @property
    def vertex(self) -> JsonApi:
        """The service for endpoints and models."""
        return self._api("aiplatform", vertex_service(self.address.location), _ROLE)

    @property
    def storage(self) -> JsonApi:
        """Cloud Storage."""
        return self._api("storage", "https://storage.googleapis.com", "the role storage.objectUser for the bucket")

    def _api(self, service: str, usual: str, needed: str) -> JsonApi:
        found: JsonApi | None = getattr(self._of_thread, service, None)
        if found is None:
            found = google_api(service, usual, self._credentials, needed, _PATIENCE)
            setattr(self._of_thread, service, found)
        return found

    @cached_property
    def _peer(self) -> Peer:
        peer = Peer(self._url)
        if not peer.private:
            raise UserError(f"a token goes over https:// only, but Vertex AI is asked at {self._url}; give https://")
        return peer
