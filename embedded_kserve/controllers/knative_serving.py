"""Knative: Configuration, Revisions, Route and Ingress of a Knative Service, each behind the one that it follows.

In one step, statuses follow first, upwards, by what the objects said after the step before; then specifications go
down. So each object is seen to lag behind another, as where every kind has a controller of its own.
"""

import functools
from typing import TYPE_CHECKING, Any

from embedded_kserve.controllers.deployments import Deployment
from embedded_kserve.controllers.knative_revisions import Revisions
from embedded_kserve.controllers.knative_routes import Routes
from embedded_kserve.controllers.knative_state import KnativeObjects, KnativePart, KnativeWorkload, Revision, observed
from embedded_kserve.kubernetes.conditions import Conditions, Status
from embedded_kserve.kubernetes.resources import CONFIGURATION, KNATIVE_SERVICE, REVISION, ROUTE
from embedded_kserve.kubernetes.store import Document

if TYPE_CHECKING:
    from embedded_kserve.controllers.controller import Controller


class Serving(KnativePart):
    """One step of Knative for one Knative Service."""

    def __init__(
        self, controller: "Controller[KnativeWorkload]", workload: KnativeWorkload, objects: KnativeObjects
    ) -> None:
        super().__init__(controller, workload, objects)
        self._revisions = Revisions(controller, workload, objects)
        self._routes = Routes(controller, workload, objects)

    def step(self) -> None:
        """Statuses by what came of the step before, then what follows from what was written in it."""
        service = self._objects.find(KNATIVE_SERVICE)
        if not service:
            return
        self._set_service_status(service)
        self._routes.set_route_status()
        self._routes.set_ingress_status()
        self._reconcile_configuration()
        for revision in self._workload.revisions:
            self._revisions.reconcile(revision)
        self._workload.sets = [one for revision in self._workload.revisions for one in revision.deployment.sets]
        self._routes.write_ingress()
        labels = service["metadata"].get("labels", {})
        self._objects.write(ROUTE, self._objects.name, self._route_spec(service), labels)
        self._objects.write(CONFIGURATION, self._objects.name, {"template": service["spec"]["template"]})

    def _route_spec(self, service: Document) -> dict[str, Any]:
        return {
            "traffic": [{**target, "configurationName": self._objects.name} for target in service["spec"]["traffic"]]
        }

    def _set_service_status(self, service: Document) -> None:
        """By Configuration and Route, unless those have yet to see what the Service wants."""
        conditions = Conditions.of(service)
        configuration, route = self._objects.find(CONFIGURATION), self._objects.find(ROUTE)
        status: Status = {"observedGeneration": service["metadata"]["generation"]}
        for kind, which, part, wanted in (
            ("ConfigurationsReady", "Configuration", configuration, {"template": service["spec"]["template"]}),
            ("RoutesReady", "Route", route, self._route_spec(service)),
        ):
            if part.get("spec") != wanted or not observed(part):
                message = f"The {which} is still working to reflect the latest desired specification."
                conditions.set(kind, "Unknown", "OutOfDate", message)
            else:
                own = Conditions(part["status"].get("conditions", []))
                conditions.set(kind, *own.about("Ready"))
        ready = configuration.get("status", {}).get("latestReadyRevisionName", "")
        traffic = route.get("status", {}).get("traffic", [])
        latest = {target["revisionName"] for target in traffic if target["latestRevision"]}
        if conditions.status("RoutesReady") == "True" and latest != {ready}:
            message = "Traffic is not yet migrated to the latest revision."
            conditions.set("RoutesReady", "Unknown", "TrafficNotMigrated", message)
        conditions.conclude("Ready", "RoutesReady", "ConfigurationsReady")
        for name in ("latestCreatedRevisionName", "latestReadyRevisionName"):
            status[name] = configuration.get("status", {}).get(name)
        status |= {"traffic": traffic, "url": route.get("status", {}).get("url"), "conditions": conditions.listed()}
        self._objects.set_status(
            KNATIVE_SERVICE, self._objects.name, {key: value for key, value in status.items() if value}
        )

    def _reconcile_configuration(self) -> None:
        """By its newest revision; a template that is new makes one."""
        configuration = self._objects.find(CONFIGURATION)
        if not configuration:
            return
        state = self._workload
        wanted = state.wanted
        current = wanted is not None and configuration["spec"]["template"] == wanted.document()
        if wanted is not None and current and (not state.revisions or state.revisions[-1].template != wanted):
            name = state.next_name(self._objects.name)
            new_set = functools.partial(self._controller.new_set, self._objects.namespace)
            self._revisions.create(Revision(name, wanted, Deployment(f"{name}-deployment", new_set)))
            return
        if not state.revisions:
            return
        newest = state.revisions[-1]
        conditions = Conditions.of(configuration)
        revision = Conditions.of(self._objects.find(REVISION, newest.name))
        truth = revision.status("Ready")
        if truth == "False":
            message = f'Revision "{newest.name}" failed with message: {revision.message("Ready")}.'
            conditions.set("Ready", "False", "RevisionFailed", message)
        else:
            conditions.set("Ready", truth)
        status = {
            "observedGeneration": configuration["metadata"]["generation"],
            "latestCreatedRevisionName": newest.name,
            "conditions": conditions.listed(),
        }
        was = [revision.name for revision in state.revisions if revision.was_ready]
        if was:
            status["latestReadyRevisionName"] = was[-1]
        self._objects.set_status(CONFIGURATION, self._objects.name, status)
