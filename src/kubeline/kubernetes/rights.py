"""What a step may do in a namespace, asked before it begins."""

from collections.abc import Sequence

from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.operations import Verb
from kubeline.kubernetes.resources import Resource

Rights = Sequence[tuple[Verb, Resource]]
_NONE = "kubeline-preflight"  # an object that there is not


def require(cluster: Cluster, namespace: str, rights: Rights, kind: Resource, role: str) -> None:
    """Check that the cluster knows a kind of object, and grants the rights.

    Args:
        cluster: that is asked.
        namespace: where.
        rights: that are needed.
        kind: what is read there besides.
        role: the folder whose Role has them.

    Raises:
        PlatformError: that names what is missing.
    """

    def lacking() -> list[str]:
        return [f"{verb} {one.full_name}" for verb, one in rights if not cluster.may(verb, one, namespace)]

    if missing := cluster.attempt(lacking, f"the rights in namespace {namespace}"):
        raise PlatformError(
            f"this service account may not {', '.join(missing)} in namespace '{namespace}'; apply the Role of {role} "
            "there"
        )
    cluster.attempt(lambda: cluster.read(namespace, _NONE, kind), f"{kind.kind}s in namespace {namespace}")
