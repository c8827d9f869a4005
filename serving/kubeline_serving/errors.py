"""Why a request is refused, with its HTTP status and one sentence.

A :class:`kubeline.errors.UserError` while a request is read is 400.
"""

from typing import TypeVar

from kubeline.errors import KubelineError

_LONGEST = 2_000  # characters; names in a request may be of any length


def sentence(error: KubelineError) -> str:
    """The message for the client and the log: one line of bounded length, whatever names the request gave."""
    words = " ".join(str(error).split())
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"


E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """The same error without its traceback, which would keep the request in memory until the garbage collector comes.

    The frames of a traceback hold what was worked on, and a frame in which the error is a result holds the error.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class RequestRefused(KubelineError):  # noqa: N818 - an answer to a request, not a failure of the server
    """A request that is not answered; `status` is the HTTP status."""

    status = 400


class Forbidden(RequestRefused):
    """The verb is switched off."""

    status = 403


class NotFound(RequestRefused):
    """There is no such path, model or version."""

    status = 404


class WrongMethod(RequestRefused):
    """The path takes other methods."""

    status = 405

    def __init__(self, sentence: str, allowed: str) -> None:
        super().__init__(sentence)
        self.allowed = allowed


class BodyTimedOut(RequestRefused):
    """The client took too long to send the request."""

    status = 408


class TooLarge(RequestRefused):
    """More bytes or rows than the server takes."""

    status = 413


def too_many_rows(rows: int, limit: int) -> TooLarge:
    """What to say of more rows than the server takes."""
    return TooLarge(f"the request has {rows:,} rows, but the server takes at most {limit:,}; split it")


class UnsupportedEncoding(RequestRefused):
    """The body is compressed."""

    status = 415


class HeadersTooLarge(RequestRefused):
    """More bytes of headers, or more headers, than the server takes."""

    status = 431


def headers_too_large(headers: int, most_headers: int, most_bytes: int) -> HeadersTooLarge:
    """What to say of so many headers, which are too many, or too large."""
    if headers > most_headers:
        return HeadersTooLarge(f"there are more than {most_headers} headers; send fewer")
    return HeadersTooLarge(f"the headers have more than {most_bytes:,} bytes; send fewer")


class Overloaded(RequestRefused):
    """The request would wait too long, or the model is not ready; another try later may be answered."""

    status = 503
    retry_after_seconds = 1


def overloaded() -> Overloaded:
    """The answer to a request that would wait too long."""
    return Overloaded("the server is overloaded; try again later, or add replicas")


class TimedOut(RequestRefused):
    """The answer was not ready in time."""

    status = 504


class BrokenModel(RequestRefused):
    """The model failed on inputs that its signature allows."""

    status = 500


def status_of(error: KubelineError) -> int:
    """The HTTP status of a refusal."""
    return error.status if isinstance(error, RequestRefused) else 400
