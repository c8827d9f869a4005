"""The HorizontalPodAutoscaler of Standard mode: the only one that changes the replicas of a Deployment.

Load is not measured: a Deployment has the fewest replicas that its autoscaler allows, as where there is little load.
"""

from typing import Any

from embedded_kserve.kubernetes.conditions import Conditions
from embedded_kserve.kubernetes.resources import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER
from embedded_kserve.kubernetes.store import Document, Store

_METRIC = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def write(store: Store, identity: dict[str, Any], fewest: int, most: int) -> None:
    """KServe's part: an autoscaler for the Deployment of the same name. It outlives the Deployment of a canary."""
    target = {"kind": "Deployment", "name": identity["name"], "apiVersion": "apps/v1"}
    spec = {"scaleTargetRef": target, "minReplicas": fewest, "maxReplicas": most, "metrics": [_METRIC]}
    store.apply(HORIZONTAL_POD_AUTOSCALER, {"metadata": identity, "spec": spec})


def reconcile(store: Store) -> None:
    """The controller's part, from time to time: bring each Deployment to the replicas that are wanted."""
    for scaler in store.every(HORIZONTAL_POD_AUTOSCALER):
        meta = scaler["metadata"]
        deployment = store.find(DEPLOYMENT, meta["namespace"], meta["name"])
        status = _gone(scaler) if deployment is None else _scaled(store, scaler, deployment)
        store.set_status(HORIZONTAL_POD_AUTOSCALER, meta["namespace"], meta["name"], status)


def _scaled(store: Store, scaler: Document, deployment: Document) -> dict[str, Any]:
    conditions = Conditions.of(scaler)
    now, wanted = deployment["spec"]["replicas"], scaler["spec"]["minReplicas"]
    if now == wanted or not now:  # one that was scaled to nothing is left alone
        message = "the HPA controller was able to get the target's current scale"
        conditions.set("AbleToScale", "True", "SucceededGetScale", message)
    else:
        store.update(DEPLOYMENT, {**deployment, "spec": {**deployment["spec"], "replicas": wanted}})
        message = f"the HPA controller was able to update the target scale to {wanted}"
        conditions.set("AbleToScale", "True", "SucceededRescale", message)
    return {"currentReplicas": now, "desiredReplicas": wanted, "conditions": conditions.listed()}


def _gone(scaler: Document) -> dict[str, Any]:
    name = scaler["spec"]["scaleTargetRef"]["name"]
    conditions = Conditions.of(scaler)
    message = f'the HPA controller was unable to get the target\'s current scale: deployments.apps "{name}" not found'
    conditions.set("AbleToScale", "False", "FailedGetScale", message)
    return {**scaler.get("status", {}), "conditions": conditions.listed()}
