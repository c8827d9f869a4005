"""Endpoints of Vertex AI as the platform of a rollout: :class:`kubeline.serving_platform.interface.ServingPlatform`.

A candidate with 0 % cannot be asked at its endpoint: a prediction names no deployed model, and only an explanation can.
So the same model is deployed at a second endpoint, NAME-candidate, for as long as the rollout lasts, and asked there.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from kubeline.errors import PlatformError, UserError
from kubeline.http.operations import finished
from kubeline.http.requests import MissingError
from kubeline.kubernetes.attempts import WAITS, attempted
from kubeline.kubernetes.cluster import Applied
from kubeline.kubernetes.errors import ConflictError
from kubeline.kubernetes.merge import merge, merge_patch, replacing
from kubeline.kubernetes.resources import CONFIG_MAP, INFERENCE_SERVICE, Manifest, Resource
from kubeline.serving_platform.endpoint_view import (
    CANDIDATE,
    DIGEST_VARIABLE,
    FOREIGN,
    HIDDEN,
    KIND,
    STABLE,
    asked_in,
    deployed_in,
    identifier,
    labels_of,
    stable_in,
    view,
    written,
)
from kubeline.serving_platform.vertex_address import VertexAddress
from kubeline.serving_platform.vertex_api import VertexApi, translated
from kubeline.serving_platform.vertex_workloads import VertexWorkloads

T = TypeVar("T")

_CREATED_SECONDS = 120.0
_DEPLOYED_SECONDS = 3600.0
_CANDIDATES = "-candidate"


class VertexEndpoints:
    """The endpoints of a project and region; their records lie in Cloud Storage.

    Args:
        api: of Vertex AI, in a project and region.
        waits: seconds to wait before each further attempt.
        poll_seconds: between two reads of a deployment that :meth:`apply` waits for.
    """

    def __init__(self, api: VertexApi, waits: Sequence[float] = WAITS, poll_seconds: float = 5.0) -> None:
        self.address = api.address
        self.api = api
        self._workloads = VertexWorkloads(api)
        self._waits, self._poll_seconds = waits, poll_seconds
        self._predictors: dict[tuple[str, str], Manifest] = {}

    @classmethod
    def connect(cls, cluster: str, timeout_seconds: float = 30.0) -> Self:
        """Prepare to talk to Vertex AI; nothing is sent yet.

        Args:
            cluster: ``vertex://PROJECT/LOCATION?store=gs://…``.
            timeout_seconds: for each prediction.

        Raises:
            UserError: when it is no such address.
        """
        return cls(VertexApi(VertexAddress.read(cluster), timeout_seconds))

    def read(self, namespace: str, name: str, resource: Resource = INFERENCE_SERVICE) -> Manifest | None:
        """The endpoint as an object, or the record of its rollouts; None for an endpoint without a model."""
        self._check_place(namespace)
        with translated():
            if resource == CONFIG_MAP:
                return self._record(name)
            endpoint = self._endpoint(name) if resource == INFERENCE_SERVICE else None
            return self._view(name, endpoint) if endpoint and stable_in(endpoint) else None

    def find(self, namespace: str, resource: Resource, labels: str = "", fields: str = "") -> list[Manifest]:
        """Nothing: Vertex AI shows no pods, and no events."""
        del namespace, resource, labels, fields
        return []

    def create(self, manifest: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False) -> Manifest:
        """Create an endpoint, or take one that has no model yet; nothing is deployed by that."""
        meta = manifest["metadata"]
        with translated():
            if resource == CONFIG_MAP:
                return self._write_record(meta["name"], manifest, "")
            name, predictor = meta["name"], manifest["spec"]["predictor"]
            _check(manifest)
            found = self._endpoint(name)
            if found and stable_in(found):
                raise ConflictError(f"the endpoint {name} has a model already")
            fields = written({**manifest, "spec": {"predictor": predictor}}, found or {})
            if dry_run:
                self._predictors[name, identifier(predictor)] = predictor
                return self._view(name, {**(found or {}), **fields})
            self._keep(name, predictor)
            if found:
                return self._view(name, self._patched(name, found, fields))
            self._made(name, fields["labels"])
            return self._view(name, self._endpoint(name) or {})

    def patch(
        self, namespace: str, name: str, body: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False
    ) -> Manifest:
        """Change labels and traffic_split of an endpoint in one write, over the etag that was read."""
        self._check_place(namespace)
        with translated():
            given = str(body.get("metadata", {}).get("resourceVersion", ""))
            if resource == CONFIG_MAP:
                found = self._record(name)
                if found is None or given not in {"", found["metadata"]["resourceVersion"]}:
                    raise ConflictError(f"the record {name} has changed since it was read")
                return self._write_record(name, merge(found, body), found["metadata"]["resourceVersion"])
            endpoint = self._endpoint(name)
            if endpoint is None:
                raise ConflictError(f"the endpoint {name} was deleted in the meantime")
            if given not in {"", str(endpoint.get("etag", ""))}:
                raise ConflictError(f"the endpoint {name} has changed since it was read")
            wanted = merge(self._view(name, endpoint), body)
            _check(wanted)
            fields = written(wanted, endpoint)
            predictors = [wanted["spec"]["predictor"], *(c["predictor"] for c in wanted["spec"].get("canary") or [])]
            for predictor in predictors:
                self._predictors[name, identifier(predictor)] = predictor
            if dry_run:
                return self._view(name, {**endpoint, **fields})
            for predictor in predictors:
                self._keep(name, predictor)
            return self._view(name, self._patched(name, endpoint, fields))

    def may(self, verb: str, resource: Resource, namespace: str, name: str = "") -> bool:
        """Google's rights are of a project: see :meth:`check_access`."""
        del verb, resource, name
        self._check_place(namespace)
        return True

    def check_access(self) -> None:
        """Check all rights in the project, and that the folder of the records can be read."""
        self.attempt(self._check_access, f"the rights in {self.address.place}")

    def _check_access(self) -> None:
        with translated():
            self.api.check_permissions()
            self.api.documents.read("access")

    def time(self) -> float:
        """This machine's: Google's machines keep one time."""
        return time.time()

    def attempt(self, work: Callable[[], T], what: str) -> T:
        """Run `work` again after a conflict, or when there was no answer."""
        return attempted(work, what, self._waits)

    def proxy(self, namespace: str, service: str, path: str, request: bytes, seconds: float) -> tuple[int, bytes]:
        """POST JSON to the one model of an endpoint, whose container has the route."""
        del namespace, path
        return self.api.ask(self._full(service.partition(":")[0]), request, seconds)

    def reconcile(self, namespace: str, name: str) -> None:
        """Begin what is left to do: deploy the models that the labels name, here and where the candidate is asked."""
        self._check_place(namespace)
        self._go_on(name, alone=True)

    def _go_on(self, name: str, alone: bool) -> None:
        """Begin what is left to do; `alone`: a candidate is to be asked alone."""
        with translated():
            endpoint = self._endpoint(name)
            stable = stable_in(endpoint) if endpoint else ""
            if not endpoint or not stable:
                return
            labels = labels_of(endpoint)
            candidate, hidden = labels.get(CANDIDATE, ""), HIDDEN in labels
            asked = asked_in(endpoint) if alone else ""
            tested = self._endpoint(name + _CANDIDATES)
            if asked and tested is None:
                tested = self._made(name + _CANDIDATES, {STABLE: asked})
            wanted = [key for key in (stable, candidate) if key]
            first = not hidden and not candidate and not deployed_in(endpoint)
            if STABLE in labels:
                self._bring(name, endpoint, wanted, first)
            if tested:
                self._bring(name, tested, [asked] if asked else [], True)

    def apply(self, manifest: Manifest) -> Applied:
        """Give the model of a manifest all traffic as soon as it is deployed, and wait for that."""
        meta = manifest["metadata"]
        namespace, name = meta["namespace"], meta["name"]
        live = self.read(namespace, name)
        if live is None:
            self.create(manifest)
            return Applied("created", self._awaited(namespace, name, "stable"))
        wanted = {**manifest["spec"]["predictor"], "annotations": meta.get("annotations") or {}}
        if "canary" in live["spec"]:
            raise PlatformError(f"a rollout of {namespace}/{name} is in progress; end it first")
        if not merge_patch(live["spec"]["predictor"], manifest["spec"]["predictor"]):
            return Applied("unchanged", live)
        beside = {"spec": {"canary": [{"predictor": wanted, "trafficPercent": 0}]}}
        self.patch(namespace, name, beside)
        self._awaited(namespace, name, "candidate")
        replaced = replacing(live["spec"]["predictor"], wanted)
        self.patch(namespace, name, {"spec": {"predictor": replaced, "canary": None}})
        return Applied("updated", self._awaited(namespace, name, "stable", tidy=True))

    def _awaited(self, namespace: str, name: str, role: str, tidy: bool = False) -> Manifest:
        """The object, once one of its models is deployed, and where asked for no other is."""
        deadline = time.monotonic() + _DEPLOYED_SECONDS
        while True:
            self.attempt(lambda: self._go_on(name, alone=False), f"the endpoint {name}")
            found = self.attempt(lambda: self.read(namespace, name), f"the endpoint {name}")
            status = (found or {}).get("status") or {}
            if found and status[role]["deployed"] and not (tidy and status["leftover"]):
                return found
            if status.get("problem") or time.monotonic() > deadline:
                why = status.get("problem") or f"the model is not deployed after {_DEPLOYED_SECONDS:g} s"
                raise PlatformError(f"endpoint {namespace}/{name}: {why}")
            time.sleep(self._poll_seconds)

    def _bring(self, name: str, endpoint: Any, wanted: list[str], all_traffic: bool) -> None:
        self._workloads.bring(
            name,
            endpoint,
            wanted,
            lambda key: self._predictor(name, key),
            lambda key: self._is_ours(name, key),
            all_traffic,
        )

    def _is_ours(self, name: str, key: str) -> bool:
        return (name, key) in self._predictors or self.api.documents.read(self._document(name, key)) is not None

    def _endpoint(self, name: str) -> Any:
        return self.api.read(self._full(name))

    def _full(self, name: str) -> str:
        return f"{self.address.parent}/endpoints/{name}"

    def _made(self, name: str, labels: dict[str, str]) -> Any:
        """A new endpoint, once it is there."""
        body = {"displayName": name, "labels": labels}
        operation = self.api.write("POST", f"{self.address.parent}/endpoints?endpointId={name}", body)
        finished(self.api.vertex, operation, f"the creation of the endpoint {name}", _CREATED_SECONDS)
        return self._endpoint(name)

    def _patched(self, name: str, endpoint: Any, fields: Manifest) -> Any:
        """The endpoint after a write over its etag; a refusal may be of the etag, or of what was asked for."""
        body = {"name": self._full(name), "etag": endpoint.get("etag", ""), **fields}
        try:
            return self.api.write("PATCH", f"{self._full(name)}?updateMask=labels,trafficSplit", body)
        except MissingError as error:
            raise ConflictError(f"the endpoint {name} was deleted in the meantime") from error
        except UserError as error:
            if (self._endpoint(name) or {}).get("etag") != endpoint.get("etag"):
                raise ConflictError(f"the endpoint {name} has changed since it was read") from error
            raise

    def _view(self, name: str, endpoint: Any) -> Manifest:
        tested = self._endpoint(name + _CANDIDATES)
        return view(
            name,
            self.address.place,
            endpoint,
            tested,
            lambda key: self._predictor(name, key),
            self._workloads.problem,
            self._leftover(name, endpoint, tested),
        )

    def _leftover(self, name: str, endpoint: Any, tested: Any) -> str:
        """What costs money, and no label asks for any more: deployed models of ours, and what is about to be one."""
        if asked_in(endpoint):
            return ""
        wanted = stable_in(endpoint)
        gone = [key for key in deployed_in(endpoint) if key != wanted and self._is_ours(name, key)]
        if gone or deployed_in(tested):
            return "a model that is wanted no more is not undeployed yet"
        places = [one["name"] for one in (endpoint, tested) if one and "name" in one]
        if any(self.api.is_busy(place) for place in places):
            return "an operation of the endpoint is not done yet"
        # One that ended after the endpoints were read, and before the operations were, is in neither.
        now = [self._endpoint(name) for name in (name, name + _CANDIDATES)]
        if [deployed_in(one) for one in now] != [deployed_in(endpoint), deployed_in(tested)]:
            return "an operation of the endpoint has just ended"
        return ""

    def _predictor(self, name: str, key: str) -> Manifest:
        """The predictor of a deployed model: as it was kept, or read of one that no rollout deployed."""
        if (name, key) not in self._predictors:
            found = self.api.documents.read(self._document(name, key))
            self._predictors[name, key] = found[0] if found else self._foreign(name, key)
        return self._predictors[name, key]

    def _foreign(self, name: str, key: str) -> Manifest:
        models = (self._endpoint(name) or {}).get("deployedModels") or []
        deployed = next((one for one in models if str(one["id"]) == key), None)
        if deployed is None:
            raise PlatformError(
                f"the endpoint {name} names the model {key}, of which {self.address.store}/{self._document(name, key)} "
                "is gone; bring it back, or take the labels that begin with kubeline- from the endpoint"
            )
        model = str(deployed["model"]).partition("@")[0]
        found = self.api.read(f"{model}@{deployed.get('modelVersionId', 'default')}") or {}
        container = found.get("containerSpec") or {}
        resources = deployed.get("dedicatedResources") or {}
        return {
            "name": f"{FOREIGN}{key}",
            "model": {
                "storageUri": str(found.get("artifactUri", "")),
                "image": str(container.get("imageUri", "")),
                "env": [one for one in container.get("env") or [] if one.get("name") == DIGEST_VARIABLE],
            },
            "minReplicas": int(resources.get("minReplicaCount", 1)),
        }

    def _keep(self, name: str, predictor: Manifest) -> None:
        """Keep a predictor in the store, where it is not there yet."""
        document = self._document(name, identifier(predictor))
        if self.api.documents.read(document) is None:
            self.api.documents.write(document, predictor)
        self._predictors[name, identifier(predictor)] = predictor

    def _record(self, name: str) -> Manifest | None:
        found = self.api.documents.read(self._record_name(name))
        if found is None:
            return None
        document, generation = found
        return {**document, "metadata": {**document["metadata"], "resourceVersion": generation}}

    def _write_record(self, name: str, document: Manifest, generation: str) -> Manifest:
        meta = {key: value for key, value in document["metadata"].items() if key != "resourceVersion"}
        written_as = self.api.documents.write(self._record_name(name), {**document, "metadata": meta}, generation)
        return {**document, "metadata": {**meta, "resourceVersion": written_as}}

    def _record_name(self, name: str) -> str:
        return f"{self.address.location}/{name}.json"

    def _document(self, name: str, key: str) -> str:
        return f"{self.address.location}/predictors/{name}-{key}.json"

    def _check_place(self, namespace: str) -> None:
        if namespace != self.address.place:
            raise UserError(
                f"the manifest is for '{namespace}', but cluster is vertex://{self.address.place}; render it with the "
                "same address (for_cluster of deploy)"
            )


def _check(manifest: Manifest) -> None:
    """Check what Vertex AI would refuse only when the model is deployed."""
    if manifest.get("kind") != KIND:
        raise UserError(
            f"the manifest is of a {manifest.get('kind')}; render one for Vertex AI (for_cluster of deploy)"
        )
    for one in [{"predictor": manifest["spec"]["predictor"]}, *(manifest["spec"].get("canary") or [])]:
        predictor = one["predictor"]
        if str(predictor.get("name", "")).startswith(FOREIGN):
            continue
        model = predictor.get("model") or {}
        if not str(model.get("storageUri", "")).startswith("gs://"):
            raise UserError(
                f"Vertex AI reads models from gs:// only, but storage_uri is '{model.get('storageUri', '')}'; put the "
                "package there"
            )
        if not model.get("image"):
            raise UserError("Vertex AI needs the image of the model server; add &image=IMAGE to the address")
