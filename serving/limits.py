"""What one request may take, and may do."""

from dataclasses import dataclass

from serving.errors import Forbidden


@dataclass(frozen=True)
class RequestLimits:
    """What one request may take.

    Attributes:
        body_bytes: of a request.
        body_seconds: for a client to send it, once it has begun.
        buffered_bytes: of all requests that are being read or answered; beyond it, new ones are refused (503).
        model_control: whether the verbs load and unload work.
    """

    body_bytes: int = 16 * 2**20
    body_seconds: float = 30.0
    buffered_bytes: int = 256 * 2**20
    model_control: bool = False

    def check_control(self) -> None:
        """Refuse load and unload unless they are switched on: anyone who reaches the port could stop the model."""
        if not self.model_control:
            raise Forbidden("load and unload are switched off; start the server with --model_control to allow them")
