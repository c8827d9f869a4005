"""Revisions of a Knative Service: their pods, how many, and their conditions."""

from embedded_kserve.controllers.knative_state import KnativePart, Revision
from embedded_kserve.data_plane.pods import CONTAINER, unpullable
from embedded_kserve.kubernetes.conditions import Conditions, Truth
from embedded_kserve.kubernetes.resources import DEPLOYMENT, REVISION, ROUTE

_STATE = "serving.knative.dev/routingState"


class Revisions(KnativePart):
    """One step for the revisions of one Knative Service."""

    def create(self, revision: Revision) -> None:
        """A new one, which is the newest."""
        self._workload.revisions.append(revision)
        self._objects.write(REVISION, revision.name, revision.template.document()["spec"], self._labels(active=True))

    def reconcile(self, revision: Revision) -> None:
        """Its pods, and its status by them."""
        routed = {target["revisionName"] for target in self._objects.find(ROUTE).get("status", {}).get("traffic", [])}
        revision.reached = revision.name in routed or revision is self._workload.revisions[-1]
        labels = self._labels(active=revision.reached)
        written = self._objects.write(REVISION, revision.name, revision.template.document()["spec"], labels)
        conditions = Conditions.of(written)
        uid = written["metadata"]["uid"]
        if not self._controller.timers.settled((uid, "digest"), True, self._controller.pace.digest):
            conditions.set("ContainerHealthy", "Unknown")
            for kind in ("Ready", "ResourcesAvailable"):
                conditions.set(kind, "Unknown", "ResolvingDigests")
        elif self._controller.fault_of(f"{self._objects.namespace}/{revision.name}") == "bad-image" or unpullable(
            revision.template
        ):
            image = revision.template.container.get("image", "")
            message = f'Unable to fetch image "{image}": failed to resolve image to digest: unexpected status code 404'
            for kind in ("ContainerHealthy", "Ready"):
                conditions.set(kind, "False", "ContainerMissing", message)
        else:
            self._scale(revision, uid)
            self._set_conditions(revision, conditions)
        status = {
            "observedGeneration": 1,
            "conditions": conditions.listed(),
            "actualReplicas": revision.deployment.available if revision.deployment.sets else 0,
            "desiredReplicas": revision.deployment.replicas,
        }
        self._objects.set_status(REVISION, revision.name, status)
        self._workload.endpoints[f"{self._objects.namespace}/{revision.name}"] = revision.deployment.ports

    def _scale(self, revision: Revision, uid: str) -> None:
        """One pod first, then as many as it is to have; when no route names it, one again, and after a while none."""
        pace, timers = self._controller.pace, self._controller.timers
        short = timers.settled((uid, "reached"), revision.reached, pace.scaling if revision.reached else pace.unreached)
        if revision.reached:
            replicas = revision.smallest if short else max(revision.deployment.replicas, 1)
        elif timers.settled((uid, "left"), revision.reached, pace.to_zero) and revision.deployment.replicas <= 1:
            replicas = 0
        else:
            replicas = 1 if short else revision.deployment.replicas
        if revision.reached:
            timers.settled((uid, "left"), revision.reached, 0.0)
        revision.deployment.want(revision.template, replicas)
        spec = {"replicas": replicas, "template": revision.template.document()}
        name = revision.deployment.name
        written = self._objects.write(DEPLOYMENT, name, spec, {"serving.knative.dev/revision": revision.name})
        status = revision.deployment.status(written.get("status", {}), written["metadata"]["generation"])
        self._objects.set_status(DEPLOYMENT, name, status)

    def _set_conditions(self, revision: Revision, conditions: Conditions) -> None:
        """Its conditions by its pods. One that has been ready stays so, also without pods."""
        deployment = revision.deployment
        complete = deployment.replicas == revision.smallest and deployment.sets[-1].complete
        revision.was_ready = revision.was_ready or complete
        failed = next((pod for pod in revision.pods if pod.failed_in == CONTAINER and not pod.ready), None)
        if revision.was_ready:
            for kind in ("ContainerHealthy", "ResourcesAvailable", "Ready"):
                conditions.set(kind, "True")
        elif failed is not None:
            for kind in ("ContainerHealthy", "Ready"):
                message = f"Container failed with: {failed.message}"
                conditions.set(kind, "False", f"ExitCode{failed.exit_code}", message)
        else:
            started = conditions.reason("Ready") == "Deploying"
            conditions.set("ContainerHealthy", "Unknown", "" if started else "Deploying")
            for kind in ("ResourcesAvailable", "Ready"):
                conditions.set(kind, "Unknown", "Deploying")
        conditions.set("Active", *_active(revision, conditions), severity="Info")

    def _labels(self, active: bool) -> dict[str, str]:
        return {"serving.knative.dev/service": self._objects.name, _STATE: "active" if active else "reserve"}


def _active(revision: Revision, conditions: Conditions) -> tuple[Truth, str, str]:
    deployment = revision.deployment
    if deployment.replicas == 0:
        return "False", "NoTraffic", "The target is not receiving traffic."
    if deployment.sets[-1].complete:
        return "True", "", ""
    if conditions.status("Active") == "Unknown" and not conditions.reason("Active"):
        return "Unknown", "Deploying", ""
    return "Unknown", "Queued", "Requests to the target are being buffered as resources are provisioned."
