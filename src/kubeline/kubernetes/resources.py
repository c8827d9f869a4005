"""The kinds of objects of a cluster that a rollout reads or writes."""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
"""An object of a cluster, as in YAML."""

GROUP, VERSION, PLURAL, KIND = "serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService"


@dataclass(frozen=True)
class Resource:
    """A kind of object, namespaced unless it says otherwise; the core group is the empty one."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What its objects name as ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As rules of access name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


INFERENCE_SERVICE = Resource(GROUP, VERSION, PLURAL, KIND)
SERVING_RUNTIME = Resource(GROUP, "v1alpha1", "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIME = Resource(
    GROUP, "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False
)
HTTP_ROUTE = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
OPENSHIFT_ROUTE = Resource("route.openshift.io", "v1", "routes", "Route")
INGRESS = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
POD = Resource("", "v1", "pods", "Pod")
EVENT = Resource("", "v1", "events", "Event")  # the same objects as those of events.k8s.io
SERVICE_PROXY = Resource("", "v1", "services/proxy", "Service")
SECRET = Resource("", "v1", "secrets", "Secret")
TRAIN_JOB = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
SPARK_APPLICATION = Resource("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication")
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
ACCESS_REVIEW = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
