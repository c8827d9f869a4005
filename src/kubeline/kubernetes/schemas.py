"""The schemas of objects: of each kind, the fields that a rollout reads.

An answer that is anything else, of a proxy or a sign-in page in between, is none; nobody further on meets a web page, a
list or a word where a number is.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kubeline.kubernetes.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    OPENSHIFT_ROUTE,
    POD,
    TRAIN_JOB,
    Resource,
)

Texts = dict[str, str]
Percent = Annotated[int, Field(ge=0, le=100)]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]  # as the Gateway API has it
Replicas = Annotated[int, Field(ge=0, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


class _Owner(_Part):
    uid: str = ""


class _Meta(_Part):
    name: str
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815
    generation: int = 0
    labels: Texts = {}
    annotations: Texts = {}
    deletionTimestamp: str = ""  # noqa: N815
    ownerReferences: list[_Owner] = []  # noqa: N815


class _Object(_Part):
    kind: str = ""
    metadata: _Meta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class _Condition(_Part):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    observedGeneration: int = 0  # noqa: N815


class _Conditions(_Part):
    conditions: list[_Condition] = []


class _Variable(_Part):
    name: str
    value: str = ""


class _Model(_Part):
    name: str = ""
    storageUri: str = ""  # noqa: N815
    protocolVersion: str = ""  # noqa: N815
    env: list[_Variable] = []


class _Predictor(_Part):
    name: str = ""
    minReplicas: Replicas = 1  # noqa: N815
    maxReplicas: Replicas = 0  # noqa: N815
    canaryTrafficPercent: Percent = 0  # noqa: N815
    model: _Model = _Model()
    annotations: Texts = {}


class _Canary(_Part):
    predictor: _Predictor
    trafficPercent: Percent = 0  # noqa: N815


class _InferenceServiceSpec(_Part):
    predictor: _Predictor
    canary: list[_Canary] = []


class _Target(_Part):
    revisionName: str = ""  # noqa: N815
    percent: Percent = 0
    latestRevision: bool = False  # noqa: N815
    tag: str = ""
    url: str = ""


class _Component(_Part):
    latestCreatedRevision: str = ""  # noqa: N815
    latestReadyRevision: str = ""  # noqa: N815
    latestRolledoutRevision: str = ""  # noqa: N815
    traffic: list[_Target] = []


class _Components(_Part):
    predictor: _Component = _Component()


class _CanaryStatus(_Part):
    name: str = ""
    ready: bool = False
    trafficPercent: Percent = 0  # noqa: N815


class _Failure(_Part):
    reason: str = ""
    message: str = ""


class _ModelStatus(_Part):
    lastFailureInfo: _Failure = _Failure()  # noqa: N815


class _InferenceServiceStatus(_Conditions):
    deploymentMode: str = ""  # noqa: N815
    url: str = ""
    components: _Components = _Components()
    canaryStatuses: list[_CanaryStatus] = []  # noqa: N815
    modelStatus: _ModelStatus = _ModelStatus()  # noqa: N815


class _InferenceService(_Object):
    spec: _InferenceServiceSpec  # type: ignore[assignment]
    status: _InferenceServiceStatus = _InferenceServiceStatus()  # type: ignore[assignment]


class _Backend(_Part):
    name: str = ""
    weight: Weight = 1


class _Rule(_Part):
    backendRefs: list[_Backend] = []  # noqa: N815


class _RouteSpec(_Part):
    rules: list[_Rule] = []


class _RouteStatus(_Part):
    parents: list[_Conditions] = []


class _Route(_Object):
    spec: _RouteSpec = _RouteSpec()  # type: ignore[assignment]
    status: _RouteStatus = _RouteStatus()  # type: ignore[assignment]


class _RouteTarget(_Part):
    name: str = ""
    weight: Annotated[int, Field(ge=0, le=256)] = 100


class _OpenShiftRouteSpec(_Part):
    to: _RouteTarget
    alternateBackends: list[_RouteTarget] = []  # noqa: N815


class _OpenShiftRouteStatus(_Part):
    ingress: list[_Conditions] = []


class _OpenShiftRoute(_Object):
    spec: _OpenShiftRouteSpec  # type: ignore[assignment]
    status: _OpenShiftRouteStatus = _OpenShiftRouteStatus()  # type: ignore[assignment]


class _Deployment(_Object):
    status: _Conditions = _Conditions()  # type: ignore[assignment]


class _TrainJob(_Object):
    status: _Conditions = _Conditions()  # type: ignore[assignment]


class _ConfigMap(_Object):
    data: Texts = {}


class _Port(_Part):
    containerPort: int = 8080  # noqa: N815


class _Container(_Part):
    name: str = ""
    env: list[_Variable] = []
    ports: list[_Port] = []


class _PodSpec(_Part):
    containers: list[_Container] = []


class _Waiting(_Part):
    reason: str = ""
    message: str = ""


class _Terminated(_Waiting):
    exitCode: int = 0  # noqa: N815


class _Moment(_Part):
    waiting: _Waiting = _Waiting()
    terminated: _Terminated = _Terminated()


class _ContainerStatus(_Part):
    name: str = ""
    ready: bool = False
    restartCount: int = 0  # noqa: N815
    state: _Moment = _Moment()
    lastState: _Moment = _Moment()  # noqa: N815


class _PodStatus(_Conditions):
    podIP: str = ""  # noqa: N815
    startTime: str = ""  # noqa: N815
    initContainerStatuses: list[_ContainerStatus] = []  # noqa: N815
    containerStatuses: list[_ContainerStatus] = []  # noqa: N815


class _Pod(_Object):
    spec: _PodSpec = _PodSpec()  # type: ignore[assignment]
    status: _PodStatus = _PodStatus()  # type: ignore[assignment]


class _About(_Part):
    kind: str = ""
    name: str = ""


class _Series(_Part):
    count: int = 0
    lastObservedTime: str = ""  # noqa: N815


class _Event(_Object):
    involvedObject: _About = _About()  # noqa: N815
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 0
    lastTimestamp: str = ""  # noqa: N815
    eventTime: str = ""  # noqa: N815
    series: _Series = _Series()


_SHAPES: dict[Resource, type[_Object]] = {
    INFERENCE_SERVICE: _InferenceService,
    HTTP_ROUTE: _Route,
    OPENSHIFT_ROUTE: _OpenShiftRoute,
    DEPLOYMENT: _Deployment,
    CONFIG_MAP: _ConfigMap,
    POD: _Pod,
    EVENT: _Event,
    TRAIN_JOB: _TrainJob,
}


def misshapen(found: Any, resource: Resource, namespace: str, name: str, versioned: bool = True) -> str:
    """What shows that this is not the object that was asked for; empty when nothing does.

    Args:
        found: JSON without nulls.
        resource: its kind.
        namespace: of the object.
        name: of the object; empty for any.
        versioned: it is stored by the server, and so has a version; the result of a dry run is not.
    """
    if not isinstance(found, dict):
        return f"it says '{' '.join(str(found).split())[:60]}'"
    try:
        parsed = _SHAPES.get(resource, _Object).model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    meta = parsed.metadata
    if parsed.kind not in {"", resource.kind} or (name and meta.name != name) or meta.namespace not in {"", namespace}:
        return f"it is {parsed.kind} {meta.namespace}/{meta.name}"[:300]
    return "metadata.resourceVersion: Field required" if versioned and not meta.resourceVersion else ""
