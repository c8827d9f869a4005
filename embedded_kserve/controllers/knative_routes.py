"""The Route of a Knative Service, and the Ingress by which the gateway learns of its hosts."""

from typing import Any

from embedded_kserve.controllers.knative_state import VISIBILITY, KnativePart, Targets, observed
from embedded_kserve.controllers.manifests import DOMAIN, local_hosts
from embedded_kserve.data_plane.gateway import Backend
from embedded_kserve.kubernetes.conditions import Conditions, Status, Truth
from embedded_kserve.kubernetes.resources import CONFIGURATION, KNATIVE_INGRESS, ROUTE
from embedded_kserve.kubernetes.store import Document


class Routes(KnativePart):
    """One step for the Route and the Ingress of one Knative Service."""

    def set_route_status(self) -> None:
        """The Route's status by its Ingress, once that has been written as the Route wants it."""
        route, ingress = self._objects.find(ROUTE), self._objects.find(KNATIVE_INGRESS)
        if not route:
            return
        if ingress and ingress["spec"] != self._ingress_spec(route):
            return
        conditions = Conditions.of(route)
        host = _hosts(self._objects.name, self._objects.namespace, self._hidden(route))[0]
        status: Status = {"observedGeneration": route["metadata"]["generation"], "url": f"http://{host}"}
        not_yet: tuple[Truth, str, str] = ("Unknown", "IngressNotConfigured", "Ingress has not yet been reconciled.")
        if not ingress:
            message = f'Configuration "{self._objects.name}" is waiting for a Revision to become ready.'
            conditions.set("AllTrafficAssigned", "Unknown", "RevisionMissing", message)
            conditions.set("CertificateProvisioned", "Unknown")
            conditions.set("IngressReady", *not_yet)
        else:
            conditions.set("AllTrafficAssigned", "True")
            conditions.set("CertificateProvisioned", "True", "TLSNotEnabled", "external-domain-tls is not enabled")
            conditions.set("IngressReady", *(Conditions.of(ingress).about("Ready") if observed(ingress) else not_yet))
            status["traffic"] = self._resolved(route)
        conditions.conclude("Ready", "AllTrafficAssigned", "IngressReady")
        self._objects.set_status(ROUTE, self._objects.name, {**status, "conditions": conditions.listed()})

    def set_ingress_status(self) -> None:
        """The Ingress' status: the gateway follows it some time after it was written, and then it is ready."""
        ingress = self._objects.find(KNATIVE_INGRESS)
        if not ingress:
            return
        generation = ingress["metadata"]["generation"]
        conditions = Conditions.of(ingress)
        conditions.set("NetworkConfigured", "True")
        key = (ingress["metadata"]["uid"], "programmed")
        waited = self._controller.timers.settled(key, generation, self._controller.pace.programming)
        seen = ingress.get("status", {}).get("observedGeneration") == generation
        if (
            seen
            and waited
            and self._controller.leads_to(self._workload.hosts)
            and self._workload.hosts == self._split(ingress)
        ):
            conditions.set("LoadBalancerReady", "True")
        elif not seen:
            message = "Waiting for load balancer to be ready"
            conditions.set("LoadBalancerReady", "Unknown", "Uninitialized", message)
        conditions.conclude("Ready", "NetworkConfigured", "LoadBalancerReady")
        status = {"observedGeneration": generation, "conditions": conditions.listed()}
        self._objects.set_status(KNATIVE_INGRESS, self._objects.name, status)

    def write_ingress(self) -> None:
        """The hosts of the Route, as soon as a revision has been ready; the gateway gets those that have pods."""
        route = self._objects.find(ROUTE)
        if not route or not (targets := self._resolved(route)):
            return
        if all(target["revisionName"] for target in targets):
            self._objects.write(KNATIVE_INGRESS, self._objects.name, self._ingress_spec(route))
        ingress = self._objects.find(KNATIVE_INGRESS)
        # By the endpoints that the gateway gets in this step: a pod that has become ready since is in the next one's.
        answering = {revision for revision, ports in self._workload.endpoints.items() if ports}
        if ingress:
            split = self._split(ingress)
            asked = {backend.cluster for backends in split.values() for backend in backends if backend.weight}
            if asked <= answering:
                self._workload.hosts = split

    def _resolved(self, route: Document) -> Targets:
        """The targets of the Route with the names of their revisions, and the addresses of their tags."""
        ready = self._objects.find(CONFIGURATION).get("status", {}).get("latestReadyRevisionName", "")
        found = []
        for target in route["spec"]["traffic"]:
            own = {key: value for key, value in target.items() if key != "configurationName"}
            own["revisionName"] = own.get("revisionName") or ready
            if tag := own.get("tag"):
                own["url"] = (
                    f"http://{_hosts(f'{tag}-{self._objects.name}', self._objects.namespace, self._hidden(route))[0]}"
                )
            found.append(own)
        return found

    def _ingress_spec(self, route: Document) -> dict[str, Any]:
        """The hosts of a Route: inside the cluster, and outside of it unless it is hidden; for each tag, too."""
        targets = self._resolved(route)
        shares: dict[str, int] = {}
        for target in targets:
            shares[target["revisionName"]] = shares.get(target["revisionName"], 0) + target["percent"]
        splits = [(self._objects.name, {name: share for name, share in shares.items() if share})]
        splits += [(f"{t['tag']}-{self._objects.name}", {t["revisionName"]: 100}) for t in targets if "tag" in t]
        rules = []
        for base, split in splits:
            backends = [{"serviceName": name, "percent": percent} for name, percent in split.items()]
            paths = {"paths": [{"splits": backends}]}
            inside = list(local_hosts(base, self._objects.namespace))
            rules.append({"hosts": inside, "visibility": "ClusterLocal", "http": paths})
            if not self._hidden(route):
                outside = [f"{base}.{self._objects.namespace}.{DOMAIN}"]
                rules.append({"hosts": outside, "visibility": "ExternalIP", "http": paths})
        return {"rules": rules}

    def _split(self, ingress: Document) -> dict[str, tuple[Backend, ...]]:
        return {
            host: tuple(
                Backend(f"{self._objects.namespace}/{split['serviceName']}", split["percent"])
                for split in rule["http"]["paths"][0]["splits"]
            )
            for rule in ingress["spec"]["rules"]
            for host in rule["hosts"]
        }

    def _hidden(self, route: Document) -> bool:
        return bool(route["metadata"].get("labels", {}).get(VISIBILITY) == "cluster-local")


def _hosts(name: str, namespace: str, hidden: bool) -> tuple[str, ...]:
    """The names under which something is reached; its address has the first one."""
    inside = local_hosts(name, namespace)
    return inside[::-1] if hidden else (f"{name}.{namespace}.{DOMAIN}", *inside)
