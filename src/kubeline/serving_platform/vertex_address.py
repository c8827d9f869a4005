"""The address of the endpoints of Vertex AI in a project and region."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

from kubeline.addresses import redact, refuse_credentials, scheme, vertex_place
from kubeline.errors import UserError

EXAMPLE = "vertex://PROJECT/LOCATION?store=gs://BUCKET/rollouts&image=IMAGE"
_OPTIONS = frozenset({"store", "image"})


def is_vertex(cluster: str) -> bool:
    """Whether what is given as a cluster is Vertex AI."""
    return scheme(cluster) == "vertex"


@dataclass(frozen=True)
class VertexAddress:
    """A project and region.

    Attributes:
        project: id of the project.
        location: region.
        store: folder of Cloud Storage for the records of rollouts; may be that of the registry.
        image: of the model server, in Artifact Registry; empty where a manifest names it.
    """

    project: str
    location: str
    store: str
    image: str = ""

    @classmethod
    def read(cls, uri: str) -> Self:
        """Of an address; see :data:`EXAMPLE`.

        Raises:
            UserError: when it is none, or has no folder.
        """
        address, _, query = uri.partition("?")
        found, options = vertex_place(address), dict(parse_qsl(query))
        if found is None:
            raise UserError(f"'{redact(address)}' is no place of endpoints; write {EXAMPLE}")
        if wrong := sorted(options.keys() - _OPTIONS):
            raise UserError(f"'{redact(address)}' has no option '{wrong[0]}'; write {EXAMPLE}")
        store = options.get("store", "").rstrip("/")
        refuse_credentials(store, "store")
        if scheme(store) != "gs":
            raise UserError(
                f"a rollout on Vertex AI keeps its record in Cloud Storage, but store is '{redact(store)}'; write "
                f"{EXAMPLE}"
            )
        return cls(*found, store, options.get("image", ""))

    @property
    def place(self) -> str:
        """``PROJECT/LOCATION``: what is the namespace of a cluster's objects."""
        return f"{self.project}/{self.location}"

    @property
    def parent(self) -> str:
        """As Vertex AI names it."""
        return f"projects/{self.project}/locations/{self.location}"


def place_of(cluster: str, namespace: str) -> str:
    """What stands for the namespace of an object on Vertex AI.

    Raises:
        UserError: when another one was given.
    """
    place = VertexAddress.read(cluster).place
    if namespace not in {"", place}:
        raise UserError(f"Vertex AI has no namespaces, but '{namespace}' was given; leave namespace empty")
    return place
