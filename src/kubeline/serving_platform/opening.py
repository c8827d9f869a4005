"""From an address to what serves there."""

from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.namespace import namespace_of
from kubeline.serving_platform.interface import ServingPlatform
from kubeline.serving_platform.vertex_address import is_vertex, place_of


def open_platform(cluster: str, timeout_seconds: float = 30.0) -> ServingPlatform:
    """Prepare to talk to what serves; nothing is sent yet.

    Args:
        cluster: ``vertex://PROJECT/LOCATION?store=gs://…&image=…``, or a cluster as
            :meth:`kubeline.kubernetes.cluster.Cluster.connect` takes it.
        timeout_seconds: for each request.

    Raises:
        UserError: when it is no address, or there is no such cluster.
    """
    if is_vertex(cluster):
        from kubeline.serving_platform.vertex import VertexEndpoints

        return VertexEndpoints.connect(cluster, timeout_seconds)
    return Cluster.connect(cluster, timeout_seconds)


def namespace_at(cluster: str, namespace: str) -> str:
    """The namespace that is meant; on Vertex AI the project and region, which stand for one.

    Raises:
        UserError: when one was given for Vertex AI.
    """
    return place_of(cluster, namespace) if is_vertex(cluster) else namespace_of(namespace, cluster)
