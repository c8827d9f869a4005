"""The kinds of objects that the embedded API server holds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        group: API group; empty for the core group.
        version: its version.
        plural: name in paths.
        kind: name in objects.
        namespaced: whether objects live in a namespace.
        status: whether the status is a subresource, which a write of the object leaves as it is.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = True

    @property
    def api_version(self) -> str:
        """What objects name as their ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The kind as the messages of an API server name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
SERVING_RUNTIME = Kind("serving.kserve.io", "v1alpha1", "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIME = Kind(
    "serving.kserve.io", "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False
)
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
OPENSHIFT_ROUTE = Kind("route.openshift.io", "v1", "routes", "Route")
INGRESS = Kind("networking.k8s.io", "v1", "ingresses", "Ingress")
KNATIVE_SERVICE = Kind("serving.knative.dev", "v1", "services", "Service")
REVISION = Kind("serving.knative.dev", "v1", "revisions", "Revision")
CONFIGURATION = Kind("serving.knative.dev", "v1", "configurations", "Configuration")
ROUTE = Kind("serving.knative.dev", "v1", "routes", "Route")
KNATIVE_INGRESS = Kind("networking.internal.knative.dev", "v1alpha1", "ingresses", "Ingress")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap", status=False)
EVENT = Kind("", "v1", "events", "Event", status=False)
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)

KINDS = (
    INFERENCE_SERVICE,
    SERVING_RUNTIME,
    CLUSTER_SERVING_RUNTIME,
    HTTP_ROUTE,
    OPENSHIFT_ROUTE,
    INGRESS,
    KNATIVE_SERVICE,
    CONFIGURATION,
    REVISION,
    ROUTE,
    KNATIVE_INGRESS,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD,
    SERVICE,
    CONFIG_MAP,
    EVENT,
    NAMESPACE,
)


def installed(mode: str) -> tuple[Kind, ...]:
    """The kinds of a cluster in this mode: each has the routes that split its traffic, and Knative mode Knative."""
    knative = {KNATIVE_SERVICE, CONFIGURATION, REVISION, ROUTE, KNATIVE_INGRESS}
    absent = {
        "knative": {HTTP_ROUTE, OPENSHIFT_ROUTE},
        "standard": {*knative, OPENSHIFT_ROUTE},
        "openshift": {*knative, HTTP_ROUTE},
    }[mode]
    return tuple(kind for kind in KINDS if kind not in absent)
