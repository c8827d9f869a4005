"""What a rollout asks of the platform that serves: objects, each read with its version and written over that."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from kubeline.kubernetes.cluster import Applied
from kubeline.kubernetes.resources import INFERENCE_SERVICE, Manifest, Resource

T = TypeVar("T")


class ServingPlatform(Protocol):
    """A cluster's API server, or what stands for one; see :class:`kubeline.kubernetes.cluster.Cluster`.

    Every write is one of a whole change, and fails with a ConflictError where the object has changed since its
    ``metadata.resourceVersion`` was read.
    """

    def read(self, namespace: str, name: str, resource: Resource = INFERENCE_SERVICE) -> Manifest | None:
        """The object, or None when there is none."""
        ...

    def find(self, namespace: str, resource: Resource, labels: str = "", fields: str = "") -> list[Manifest]:
        """The objects that carry these labels and fields; none of a kind that the platform does not have."""
        ...

    def create(self, manifest: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False) -> Manifest:
        """Create it; ConflictError when it is there already. A dry run returns what would be, and keeps nothing."""
        ...

    def patch(
        self, namespace: str, name: str, body: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False
    ) -> Manifest:
        """Change it by a JSON merge patch."""
        ...

    def may(self, verb: str, resource: Resource, namespace: str, name: str = "") -> bool:
        """Whether these credentials may do this, where the platform says so for each object."""
        ...

    def check_access(self) -> None:
        """Check the rights that are not of single objects.

        Raises:
            PlatformError: that names all that are missing.
        """
        ...

    def reconcile(self, namespace: str, name: str) -> None:
        """Go on with what the specification says, and wait for none of it, where no controller does so."""
        ...

    def proxy(self, namespace: str, service: str, path: str, request: bytes, seconds: float) -> tuple[int, bytes]:
        """POST JSON to one model alone, and return status and body."""
        ...

    def time(self) -> float:
        """Unix seconds that all who drive a rollout share."""
        ...

    def apply(self, manifest: Manifest) -> Applied:
        """Make the object what the manifest says."""
        ...

    def attempt(self, work: Callable[[], T], what: str) -> T:
        """Run `work` again after a conflict, or when there was no answer."""
        ...
