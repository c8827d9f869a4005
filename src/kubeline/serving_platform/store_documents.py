"""JSON documents in a folder of Cloud Storage, each written over the generation that was read.

Not by gcsfs, through which no write can be made to depend on a generation.
"""

from typing import Any
from urllib.parse import quote, urlencode

from kubeline.http.json_api import JsonApi
from kubeline.http.requests import MissingError
from kubeline.kubernetes.errors import UnavailableError

_TRIES = 5
_NONE = "0"  # the generation of what is not there


class StoreDocuments:
    """The documents below one folder.

    Args:
        folder: ``gs://BUCKET/FOLDER``.
        api: of Cloud Storage.
    """

    def __init__(self, folder: str, api: JsonApi) -> None:
        self._bucket, _, self._folder = folder.removeprefix("gs://").partition("/")
        self._api = api

    def read(self, name: str) -> tuple[Any, str] | None:
        """The document and its generation; None where there is none."""
        path = f"/storage/v1/b/{self._bucket}/o/{quote(self._key(name), safe='')}"
        for _ in range(_TRIES):
            try:
                generation = str(self._api.read(path)["generation"])
            except MissingError:
                return None
            try:
                return self._api.read(path, alt="media", generation=generation), generation
            except MissingError:  # written anew between the two requests
                continue
        raise UnavailableError(f"gs://{self._bucket}/{self._key(name)} is written all the time; try later")

    def write(self, name: str, document: Any, generation: str = "") -> str:
        """Write it over a generation, or where there is none; return its new one.

        Raises:
            StaleError: when it has another generation by now.
        """
        query = {"uploadType": "media", "name": self._key(name), "ifGenerationMatch": generation or _NONE}
        path = f"/upload/storage/v1/b/{self._bucket}/o?{urlencode(query)}"
        return str(self._api.write("POST", path, document)["generation"])

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name
