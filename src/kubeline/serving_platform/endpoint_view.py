"""An endpoint of Vertex AI as an object with a specification and a status, so that a rollout drives it as any other.

The specification lies in the endpoint itself: its labels name the deployed model that is stable and the candidate
beside it, its traffic_split says what each gets, and one write changes both over the etag that was read. A label holds
63 characters, so what a deployed model is made of lies in the store, in a document that is named by the ten digits of
the deployed model's id, and never changes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kubeline.errors import PlatformError, UserError
from kubeline.kubernetes.resources import Manifest

API_VERSION, KIND, MODE = "kubeline.dev/v1", "VertexEndpoint", "Vertex"
DIGEST_VARIABLE = "KUBELINE_PACKAGE_DIGEST"  # the model server serves no other package
VISIBILITY = "kubeline.dev/visibility"  # label of a first model that gets no traffic yet
CLUSTER_LOCAL = "cluster-local"
FOREIGN = "deployed-"  # begins the name of a predictor that Kubeline did not deploy; its id follows

STABLE, CANDIDATE, HIDDEN = "kubeline-stable", "kubeline-candidate", "kubeline-hidden"
OURS = (STABLE, CANDIDATE, HIDDEN)  # labels of an endpoint
_MICROSECONDS = 1_000_000

Endpoint = Mapping[str, Any]
"""As Vertex AI answers it."""


def identifier(predictor: Mapping[str, Any]) -> str:
    """The id of the deployed model of a predictor: Vertex AI takes up to ten digits."""
    name = str(predictor.get("name", ""))
    if name.startswith(FOREIGN):
        return name.removeprefix(FOREIGN)
    text = json.dumps(predictor, sort_keys=True, separators=(",", ":"))
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return str(10**9 + number % (9 * 10**9))


def split_of(endpoint: Endpoint) -> dict[str, int]:
    """Per cent by deployed model; those with none are left out."""
    return {key: int(share) for key, share in (endpoint.get("trafficSplit") or {}).items() if int(share)}


def deployed_in(endpoint: Endpoint | None) -> list[str]:
    """The ids of the deployed models."""
    return [str(one["id"]) for one in (endpoint or {}).get("deployedModels") or []]


def labels_of(endpoint: Endpoint) -> dict[str, str]:
    """The endpoint's labels."""
    return {str(key): str(value) for key, value in (endpoint.get("labels") or {}).items()}


def stable_in(endpoint: Endpoint) -> str:
    """The id of the stable model: by the label, else the one deployed model that gets everything; empty where none is.

    Raises:
        UserError: when several share the traffic of an endpoint that no rollout has touched.
    """
    if found := labels_of(endpoint).get(STABLE, ""):
        return found
    split = split_of(endpoint)
    if len(split) > 1:
        raise UserError(
            f"the traffic of the endpoint is split among {len(split)} deployed models, none of them by a rollout; give "
            "one of them 100 % first"
        )
    return next(iter(split), "")


def view(
    name: str,
    place: str,
    endpoint: Endpoint,
    tested: Endpoint | None,
    predictor_of: Callable[[str], Manifest],
    problem: str = "",
    leftover: str = "",
) -> Manifest:
    """The object.

    Args:
        name: of the endpoint.
        place: ``PROJECT/LOCATION``.
        endpoint: as it is.
        tested: the endpoint beside it at which a candidate is asked; None where there is none.
        predictor_of: the predictor of a deployed model, by its id.
        problem: what keeps a deployed model from being there.
        leftover: what is still to go, of a rollout that ends.
    """
    labels, split = labels_of(endpoint), split_of(endpoint)
    stable, candidate = stable_in(endpoint), labels.get(CANDIDATE, "")
    spec: Manifest = {"predictor": predictor_of(stable) if stable else {}}
    if candidate:
        spec["canary"] = [{"predictor": predictor_of(candidate), "trafficPercent": split.get(candidate, 0)}]
    if others := {key: share for key, share in split.items() if key not in {stable, candidate}}:
        spec["others"] = others
    hidden = labels.get(HIDDEN) == "true"
    if not hidden and not split and stable in deployed_in(endpoint):
        spec["stopped"] = True  # nobody is answered
    shown = {key: value for key, value in labels.items() if key not in OURS}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": place,
            "uid": str(endpoint.get("createTime", "")),
            "resourceVersion": str(endpoint.get("etag", "")),
            "generation": _microseconds(str(endpoint.get("updateTime", ""))),
            "labels": {**shown, **({VISIBILITY: CLUSTER_LOCAL} if hidden else {})},
        },
        "spec": spec,
        "status": {
            **_status(endpoint, tested, stable, candidate),
            "problem": problem,
            "leftover": leftover,
        },
    }


def _status(endpoint: Endpoint, tested: Endpoint | None, stable: str, candidate: str) -> Manifest:
    there, beside, split = deployed_in(endpoint), deployed_in(tested), split_of(endpoint)
    return {
        "deploymentMode": MODE,
        "total": sum(split.values()),
        **{
            role: {"id": key, "deployed": key in there, "tested": key in beside, "share": split.get(key, 0)}
            for role, key in (("stable", stable), ("candidate", candidate))
            if key
        },
    }


def asked_in(endpoint: Endpoint) -> str:
    """The id of the model that is to be asked alone, at the endpoint beside this one; empty where none is."""
    labels = labels_of(endpoint)
    return labels.get(CANDIDATE, "") or (stable_in(endpoint) if HIDDEN in labels else "")


def written(service: Manifest, endpoint: Endpoint) -> Manifest:
    """The fields of the endpoint that make it what a specification says: its labels and its traffic_split.

    Args:
        service: the object as it is to be.
        endpoint: as it is.

    Raises:
        PlatformError: when more than one candidate is asked for.
    """
    spec, canaries = service["spec"], service["spec"].get("canary") or []
    if len(canaries) > 1:
        raise PlatformError("a rollout puts one candidate beside the stable model, but two are specified")
    given = service["metadata"].get("labels") or {}
    stable, hidden = identifier(spec["predictor"]), VISIBILITY in given
    others = {key: value for key, value in {**labels_of(endpoint), **given}.items() if key not in (*OURS, VISIBILITY)}
    labels = {**others, STABLE: stable}
    split = {} if hidden or stable not in deployed_in(endpoint) else {stable: 100}
    for one in canaries:
        candidate, share = identifier(one["predictor"]), int(one.get("trafficPercent") or 0)
        labels[CANDIDATE] = candidate
        split = {key: percent for key, percent in ((stable, 100 - share), (candidate, share)) if percent}
    return {"labels": labels | ({HIDDEN: "true"} if hidden else {}), "trafficSplit": split}


def _microseconds(moment: str) -> int:
    """Unix time of an RFC 3339 moment, as a number that rises with each change; 0 where there is none."""
    return int(datetime.fromisoformat(moment).timestamp() * _MICROSECONDS) if moment else 0
