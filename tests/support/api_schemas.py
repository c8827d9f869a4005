"""Whether a document of Kubernetes is one that its API takes: unknown fields, missing ones and wrong types are found.

Kubernetes' own kinds are held against the models of its client. Of the kinds that others define, the fields that
manifests/ uses are written down here, closed; they follow KServe 0.20, the Prometheus operator 0.8x, cert-manager 1.1x,
Gateway API 1.x, Argo CD 3 and KEDA 2.x (keda.sh_scaledobjects.yaml).
"""

import json
from types import SimpleNamespace
from typing import Any

import kserve
import kubernetes
from jsonschema import Draft202012Validator

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "array", "items": TEXT, "minItems": 1}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
PAIRS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
ANYTHING: Schema = {"type": "object"}


def closed(required: str = "", /, **fields: Schema) -> Schema:
    """A mapping with no other fields."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def many(item: Schema) -> Schema:
    """A list with at least one."""
    return {"type": "array", "items": item, "minItems": 1}


def one_of(*words: str) -> Schema:
    """A word of a list."""
    return {"enum": [*words]}


SELECTOR = closed(
    matchLabels=PAIRS, matchExpressions=many(closed("key operator", key=TEXT, operator=TEXT, values=TEXTS))
)
RELABELING = many(
    closed(action=one_of("keep", "replace", "drop"), sourceLabels=TEXTS, regex=TEXT, replacement=TEXT, targetLabel=TEXT)
)
MATCHERS = many(closed("name value", name=TEXT, value=TEXT, matchType=one_of("=", "!=", "=~", "!~")))
KEY = closed("name key", name=TEXT, key=TEXT)
ROUTE: Schema = closed(
    receiver=TEXT,
    groupBy=TEXTS,
    groupWait=TEXT,
    groupInterval=TEXT,
    repeatInterval=TEXT,
    matchers=MATCHERS,
    routes=many(ANYTHING),
)
GATEWAY_NAMES = closed("name", group=TEXT, kind=TEXT, name=TEXT, namespace=TEXT)
SOLVER = {
    "oneOf": [
        closed("gatewayHTTPRoute", gatewayHTTPRoute=closed("parentRefs", parentRefs=many(GATEWAY_NAMES))),
        closed("ingress", ingress=closed("ingressClassName", ingressClassName=TEXT)),
    ]
}
SPECS: dict[tuple[str, str], Schema] = {
    ("cert-manager.io/v1", "Certificate"): closed(
        "secretName issuerRef dnsNames",
        secretName=TEXT,
        dnsNames=TEXTS,
        issuerRef=closed("name", group=TEXT, kind=one_of("Issuer", "ClusterIssuer"), name=TEXT),
        privateKey=closed(algorithm=one_of("RSA", "ECDSA", "Ed25519"), size=WHOLE, rotationPolicy=TEXT),
    ),
    ("cert-manager.io/v1", "ClusterIssuer"): {
        "oneOf": [
            closed("selfSigned", selfSigned=closed()),
            closed(
                "acme",
                acme=closed(
                    "server privateKeySecretRef solvers",
                    server=TEXT,
                    email=TEXT,
                    privateKeySecretRef=closed("name", name=TEXT),
                    solvers=many(closed("http01", http01=SOLVER)),
                ),
            ),
        ]
    },
    ("gateway.networking.k8s.io/v1", "Gateway"): closed(
        "gatewayClassName listeners",
        gatewayClassName=TEXT,
        listeners=many(
            closed(
                "name port protocol",
                name=TEXT,
                port=WHOLE,
                protocol=one_of("HTTP", "HTTPS"),
                tls=closed(mode=one_of("Terminate"), certificateRefs=many(GATEWAY_NAMES)),
                allowedRoutes=closed(namespaces={**closed(), "patternProperties": {"^from$": one_of("All", "Same")}}),
            )
        ),
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): closed(
        "selector podMetricsEndpoints",
        selector=SELECTOR,
        podMetricsEndpoints=many(
            closed(
                path=TEXT,
                scheme=one_of("http", "https"),
                interval=TEXT,
                scrapeTimeout=TEXT,
                relabelings=RELABELING,
                metricRelabelings=RELABELING,
            )
        ),
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): closed(
        "selector endpoints",
        selector=SELECTOR,
        endpoints=many(closed(port=TEXT, interval=TEXT, honorLabels=TRUTH)),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): closed(
        groups=many(
            closed(
                "name",
                name=TEXT,
                rules=many(
                    {
                        **closed("expr alert", alert=TEXT, expr=TEXT, labels=PAIRS, annotations=PAIRS),
                        "patternProperties": {"^for$": TEXT},
                    }
                ),
            )
        )
    ),
    ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"): closed(
        route=ROUTE,
        inhibitRules=many(closed(sourceMatch=MATCHERS, targetMatch=MATCHERS, equal=TEXTS)),
        receivers=many(
            closed(
                "name",
                name=TEXT,
                slackConfigs=many(closed(apiURL=KEY, channel=TEXT, sendResolved=TRUTH, title=TEXT, text=TEXT)),
                emailConfigs=many(
                    {
                        **closed(
                            to=TEXT,
                            smarthost=TEXT,
                            authUsername=TEXT,
                            authPassword=KEY,
                            requireTLS=TRUTH,
                            sendResolved=TRUTH,
                        ),
                        "patternProperties": {"^from$": TEXT},
                    }
                ),
            )
        ),
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): closed(
        "scaleTargetRef triggers",
        scaleTargetRef=closed("name", name=TEXT, apiVersion=TEXT, kind=TEXT, envSourceContainerName=TEXT),
        minReplicaCount={"type": "integer", "minimum": 0},
        maxReplicaCount={"type": "integer", "minimum": 1},
        triggers=many(
            closed(
                "type metadata",
                type=TEXT,
                name=TEXT,
                metadata=PAIRS,
                metricType=one_of("AverageValue", "Value", "Utilization"),
                useCachedMetrics=TRUTH,
                authenticationRef=closed("name", name=TEXT, kind=TEXT),
            )
        ),
    ),
}


def faults(document: dict[str, Any]) -> list[str]:
    """What the API server would refuse in a document; empty for none."""
    kind = (document["apiVersion"], document["kind"])
    if kind in SPECS:
        return _against(SPECS[kind], document)
    if kind[0] == "serving.kserve.io/v1alpha1" and kind[1] in {"ServingRuntime", "ClusterServingRuntime"}:
        return _of_runtime(document)
    return _of_kubernetes(document)


def _against(spec: Schema, document: dict[str, Any]) -> list[str]:
    whole = closed("metadata spec", apiVersion=TEXT, kind=TEXT, metadata=closed("name", **METADATA), spec=spec)
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(document)]


METADATA: dict[str, Schema] = {"name": TEXT, "namespace": TEXT, "labels": PAIRS, "annotations": PAIRS}


def _of_runtime(document: dict[str, Any]) -> list[str]:
    spec = document["spec"]
    found = [
        f"spec.{key} is unknown" for key in spec.keys() - {*kserve.V1alpha1ServingRuntimeSpec.attribute_map.values()}
    ]
    for item in spec["supportedModelFormats"]:
        found += [
            f"{key} is unknown" for key in item.keys() - {*kserve.V1alpha1SupportedModelFormat.attribute_map.values()}
        ]
    found += [f"annotation {key} is no text" for key, text in spec["annotations"].items() if not isinstance(text, str)]
    for container in spec["containers"]:
        found += _changed(container, "V1Container")
    return found


def _of_kubernetes(document: dict[str, Any]) -> list[str]:
    group, _, version = document["apiVersion"].rpartition("/")
    named = f"V1{document['kind']}" if version == "v1" else f"{version.title()}{document['kind']}"
    if not hasattr(kubernetes.client, named) or (group and "." in group and not group.endswith(".k8s.io")):
        return [f"{document['apiVersion']} {document['kind']} is no kind that this knows"]
    return _changed(document, named)


def _changed(part: Any, model: str) -> list[str]:
    """What the client's model of a part drops, converts or misses."""
    client = kubernetes.client.ApiClient()
    try:
        read = client.sanitize_for_serialization(client.deserialize(SimpleNamespace(data=json.dumps(part)), model))
    except ValueError as error:
        return [f"{model}: {error}"]
    return [f"{model} at {place}" for place in _differences(part, read)]


def _differences(given: Any, read: Any, place: str = "$") -> list[str]:
    if isinstance(given, dict) and isinstance(read, dict):
        keys = sorted(given.keys() | read.keys())
        return [one for key in keys for one in _differences(given.get(key), read.get(key), f"{place}.{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [
            one for i, pair in enumerate(zip(given, read, strict=True)) for one in _differences(*pair, f"{place}[{i}]")
        ]
    return [] if given == read and type(given) is type(read) else [place]
