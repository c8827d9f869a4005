"""The namespace of a model where none is given: that of the run. Whose the objects are that a step makes."""

import os
from pathlib import Path
from typing import Any

import yaml

from kubeline.addresses import scheme
from kubeline.kubernetes.connection import IN_CLUSTER

_OF_THIS_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULT = "default"


def namespace_of(given: str, cluster: str = "", of_pod: Path = _OF_THIS_POD) -> str:
    """The namespace that is meant.

    Args:
        given: what the user gave; it counts when it is not empty.
        cluster: where the model goes: of a kubeconfig, the namespace of its current context.
        of_pod: the file in which a pod finds its namespace.

    Returns:
        The namespace; ``default`` outside a cluster, when the kubeconfig names none, and of a cluster by its name.
    """
    if given:
        return given
    if scheme(cluster):  # the namespace of a pod here is none there
        return _DEFAULT
    if cluster and cluster != IN_CLUSTER:
        return _of_context(Path(cluster).expanduser()) or _DEFAULT
    return of_pod.read_text(encoding="utf-8").strip() if of_pod.is_file() else _DEFAULT


def owned_by_this_step(namespace: str) -> dict[str, Any]:
    """Metadata that name the pod of this step as the owner, where KFP says which: with it, what is left goes."""
    name, uid = os.environ.get("KFP_POD_NAME", ""), os.environ.get("KFP_POD_UID", "")
    if not name or not uid or os.environ.get("KFP_NAMESPACE", namespace) != namespace:
        return {}
    return {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]}


def _of_context(kubeconfig: Path) -> str:
    """The namespace of the current context; empty where the file does not say, or cannot be read."""
    try:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        contexts = {each["name"]: each["context"] for each in document["contexts"]}
        return str(contexts[document["current-context"]].get("namespace", ""))
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError, AttributeError):
        return ""  # connecting by it says what is wrong
