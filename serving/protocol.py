"""Where KServe's own reading of requests ends in a 500 or works on the event loop, this stands in for it."""

import logging
import struct
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InferenceError, InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest.v2_datamodels import InferenceRequest, RequestInput
from pydantic import ValidationError

from serving.model import RefusedInput

logger = logging.getLogger("kserve")

_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error, InferenceError)


class _Tensor(RequestInput):
    data: list[Any] | None = None  # else it follows the header, as bytes


class _Header(InferenceRequest):
    inputs: list[_Tensor]


class PackageDataPlane(DataPlane):
    """KServe's data plane, that leaves v1 bodies to the model's thread and refuses what is malformed."""

    def decode(
        self, body: Any, headers: Any, protocol_version: str = "v1", model_name: str | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The request in the form that the model reads, and the attributes of a CloudEvent.

        Raises:
            InvalidInput: when the body cannot be read.
        """
        if protocol_version == "v1" and isinstance(body, bytes) and not _is_cloudevent(headers):
            return body, {}
        if protocol_version == "v2" and isinstance(body, bytes):
            _check_header(body, headers)
        try:
            decoded: tuple[Any, dict[str, Any]] = super().decode(body, headers, protocol_version, model_name)
        except InvalidInput:
            raise
        except _MALFORMED as error:
            reason = f"{type(error).__name__}: {error}"
            raise RefusedInput(f"the body is not a {protocol_version} inference request ({reason})") from error
        return decoded


def tell_refusals(app: FastAPI) -> None:
    """Answer refused requests with 400 and one sentence; the log gets that sentence instead of a traceback."""
    app.add_exception_handler(RefusedInput, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    logger.info("refused %s: %s", request.url.path, error)
    return JSONResponse({"error": str(error)}, status_code=400)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return await _refused(request, RefusedInput(_sentence(found)))


def _check_header(body: bytes, headers: Any) -> None:
    """Check the JSON in front of binary tensors as KServe checks JSON requests; it takes it as it is."""
    length = headers.get(INFERENCE_CONTENT_LENGTH_HEADER, "")
    if not length.isdecimal():
        raise RefusedInput(
            f"the header {INFERENCE_CONTENT_LENGTH_HEADER} of a binary request must be a number of bytes"
        )
    try:
        _Header.model_validate_json(body[: int(length)])
    except ValidationError as error:
        raise RefusedInput(_sentence(error.errors())) from error


def _sentence(errors: Sequence[Any]) -> str:
    # the body may be JSON or bytes: what is wrong with the JSON is what helps
    first = next((item for item in errors if "bytes" not in item["loc"]), errors[0] if errors else {})
    if first.get("type") == "json_invalid":
        return f"the body is not JSON: {first['ctx']['error']}"
    place = ".".join(str(part) for part in first.get("loc", ()) if part not in ("body", "InferenceRequest"))
    return f"the request is malformed at '{place or 'body'}': {first.get('msg', 'it cannot be read')}"


def _is_cloudevent(headers: Any) -> bool:
    return "ce-specversion" in headers or headers.get("content-type", "").startswith("application/cloudevents")
