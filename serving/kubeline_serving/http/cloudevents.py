"""CloudEvents around v1 bodies, as KServe's model server takes them.

Specification: CloudEvents 1.0, HTTP protocol binding, binary and structured content mode.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

import orjson

from kubeline.errors import UserError
from kubeline_serving.codec.parsing import parse_json

_STRUCTURED = b"application/cloudevents+json"
_TYPE = "io.kserve.inference.response"


def is_event(headers: dict[bytes, bytes]) -> bool:
    """Whether a request is a CloudEvent."""
    return b"ce-specversion" in headers or headers.get(b"content-type", b"").startswith(_STRUCTURED)


class CloudEvent:
    """A request that came as a CloudEvent; its answer goes back in the same mode."""

    def __init__(self, headers: dict[bytes, bytes], body: bytes | bytearray, model_name: str):
        self._structured = headers.get(b"content-type", b"").startswith(_STRUCTURED)
        self._body = body
        self._source = f"io.kserve.inference.{model_name}"

    def data(self) -> Any:
        """The v1 request in the event.

        Raises:
            UserError: when there is none.
        """
        content = parse_json(self._body)
        if not self._structured:
            return content
        if not isinstance(content, dict) or "data" not in content:
            raise UserError('a structured CloudEvent is {"specversion": …, "data": {"instances": …}}')
        return content["data"]

    def answer(self, body: bytes) -> tuple[bytes, int, bytes, tuple[tuple[bytes, bytes], ...]]:
        """Body, status, content type and headers of the answer to a v1 answer."""
        attributes = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": self._source,
            "type": _TYPE,
            "time": datetime.now(UTC).isoformat(),
        }
        if self._structured:
            event = {**attributes, "datacontenttype": "application/json", "data": orjson.Fragment(body)}
            return orjson.dumps(event), 200, _STRUCTURED, ()
        headers = tuple((f"ce-{name}".encode(), value.encode()) for name, value in attributes.items())
        return body, 200, b"application/json", headers
