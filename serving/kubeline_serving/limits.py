"""What one request may take, and may do."""

from dataclasses import dataclass

from kubeline_serving.errors import Forbidden

HEAD_BYTES = 64 * 1024  # of method, path and headers, or of a call's metadata
MAX_HEADERS = 256
_PARSED_AT_ONCE = 2  # large requests, each in a thread of its own


@dataclass(frozen=True)
class RequestLimits:
    """What one request may take, and all of them together.

    Attributes:
        body_bytes: of a request.
        body_seconds: for a client to send it, once it has begun.
        buffered_bytes: of all requests that are being read or answered, and of answers that are not read; beyond it,
            new ones are refused (503). At least as much as one request may have.
        parsed_bytes: of memory that one request may take when it is parsed, as estimated from its bytes.
        connections: over HTTP; the one that waits for its client the longest makes room for a new one.
        model_control: whether the verbs load and unload work.
    """

    body_bytes: int = 16 * 2**20
    body_seconds: float = 30.0
    buffered_bytes: int = 192 * 2**20
    parsed_bytes: int = 192 * 2**20
    connections: int = 4096
    model_control: bool = False

    @property
    def all_parsed_bytes(self) -> int:
        """Memory that the requests take which are parsed at a time."""
        return _PARSED_AT_ONCE * self.parsed_bytes

    def check_control(self) -> None:
        """Refuse load and unload unless they are switched on: anyone who reaches the port could stop the model."""
        if not self.model_control:
            raise Forbidden("load and unload are switched off; start the server with --model_control to allow them")
