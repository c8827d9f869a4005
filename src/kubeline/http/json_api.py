"""A server that takes and answers JSON, asked with bounds on time and size; each failure is one sentence.

Not a generated client: the two or three calls of a service that a step makes need none of its libraries in the image.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubeline.errors import KubelineError, UserError
from kubeline.http.exchange import ExchangeError, HttpResponse, Peer, Reader
from kubeline.http.requests import MissingError, RefusedError, UnclearError, failure, found_or_made, repeated
from kubeline.http.time_budget import TimeBudget


class JsonApi:
    """One server.

    Args:
        url: what stands before the path of every request.
        what: the server, for messages, such as ``the Model Registry``.
        known: returns the headers that say who we are; asked for each try.
        renew: forgets credentials that were refused; whether others may be had.
        help_when_refused: what to do when it does not know us, or does not let us.
        patience: seconds for all tries of a request.
        ca_file: certificates to check the server's with, instead of the usual ones.
        most_bytes: of an answer.

    Raises:
        UserError: when the URL is none of http or https.
    """

    def __init__(
        self,
        url: str,
        what: str,
        *,
        known: Callable[[], Mapping[str, str]] = dict,
        renew: Callable[[], bool] = lambda: False,
        help_when_refused: str = "check the credentials",
        patience: float = 60.0,
        ca_file: str = "",
        most_bytes: int = 16 * 2**20,
    ) -> None:
        try:
            self._peer = Peer(url, ca_file)
        except ValueError as error:
            raise UserError(f"{error}; give the address of {what}") from None
        self.place = f"{what} at {self._peer.where}"
        self._base = urlsplit(url).path.rstrip("/")
        self._known = known
        self._renew = renew
        self._help = help_when_refused
        self._patience = patience
        self._most_bytes = most_bytes

    def read(self, path: str, **query: Any) -> Any:
        """GET, repeated where that can help.

        Args:
            path: below the server's address, with its leading slash.
            query: of the request; what is empty is left out.

        Raises:
            MissingError: when there is no such thing.
            UserError: what was asked for is wrong, or we are refused.
            PlatformError: no answer in time.
        """
        given = urlencode({key: value for key, value in query.items() if value not in {"", None}})
        whole = f"{path}?{given}" if given else path
        return repeated(lambda budget: self._once("GET", whole, None, budget), self._patience, self._renew)

    def find(self, path: str, **query: Any) -> Any:
        """The same; None where there is no such thing."""
        try:
            return self.read(path, **query)
        except MissingError:
            return None

    def each(self, path: str, items: str, page: str = "pageToken", **query: Any) -> Iterator[Any]:
        """The things of a list, page by page; raises as `read`.

        Args:
            path: as for `read`.
            items: what an answer calls them.
            page: what a request calls the next page.
            query: as for `read`.
        """
        given: dict[str, Any] = {page: ""}
        while True:
            found = self.read(path, **query, **given)
            yield from found.get(items, [])
            given[page] = found.get("nextPageToken") or found.get("next_page_token", "")
            if not given[page]:
                return

    def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        find: Callable[[], Any] = lambda: None,
        kind: str = "application/json",
    ) -> Any:
        """Ask for a change; where it is not clear whether an earlier try took effect, check before repeating it.

        Args:
            method: of HTTP.
            path: below the server's address, with its leading slash and its query.
            body: JSON, or bytes of another type.
            find: searches for what the change makes; one that may be repeated needs none.
            kind: the type of the body.

        Raises:
            TakenError: when it is there already.
            UserError: as for `read`.
            PlatformError: as for `read`.
        """
        content = body or b"" if isinstance(body, bytes | None) else json.dumps(body, allow_nan=False).encode()
        attempt = found_or_made(lambda budget: self._once(method, path, content, budget, kind), find)
        return repeated(attempt, self._patience, self._renew)

    def _once(
        self, method: str, path: str, body: bytes | None, budget: TimeBudget, kind: str = "application/json"
    ) -> Any:
        given = {"Content-Type": kind} if body is not None else {}
        answer = self._asked(method, path, body, budget, {"Accept": "application/json", **given})
        try:
            return json.loads(answer.body or b"{}")
        except ValueError:
            raise UnclearError(f"{self.place} answers what is no JSON; check its address") from None

    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | None,
        budget: TimeBudget,
        headers: Mapping[str, str],
        read: Reader | None = None,
    ) -> HttpResponse:
        """One try, whose answer is a success; `read` as for :meth:`Peer.exchange`."""
        known = self._known()
        if "Authorization" in known and not self._may_know():
            raise UserError(f"a token goes over https:// only, but {self.place} is asked over http://; give https://")
        seconds, most = budget.left(), self._most_bytes
        try:
            answer = self._peer.exchange(
                method, self._base + path, {**headers, **known}, body, seconds=seconds, most_bytes=most, read=read
            )
        except ExchangeError as error:
            raise UnclearError(f"{self.place} gives no answer: {error}; check its address") from None
        if not 200 <= answer.status < 300:
            raise self._translated(answer)
        return answer

    def _may_know(self) -> bool:
        """Whether a token may be sent."""
        return self._peer.private

    def _translated(self, answer: HttpResponse) -> KubelineError:
        """The sentence of an answer that is no success."""
        status, said = answer.status, _message(answer.body)
        if status == 401 or 300 <= status < 400:
            return RefusedError(f"{self.place} does not know us ({status}); {self._help}")
        return failure(self.place, status, said, self._help, answer.retry_after)


def _message(body: bytes) -> str:
    """What a server says, in one line."""
    try:
        document = json.loads(body)
        found = document.get("error", document)
        said = found.get("message", "") if isinstance(found, dict) else found
    except (ValueError, AttributeError):
        said = body[:200].decode(errors="replace")
    return " ".join(str(said).split())[:400] or "no reason is given"
