"""What kubectl builds of each overlay is what the APIs take, and fits together."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow.cli
import pytest
import yaml

from kubeline.deployment.inference_service import Service, render
from kubeline.rollout.routers import StandardRouter
from kubeline.rollout.status import DeployedModel, Versions
from tests.support.api_schemas import faults

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
KUBECTL = Path(sys.executable).with_name("kubectl")  # from its wheel
FOLDERS = sorted(
    str(file.parent.relative_to(MANIFESTS))
    for file in MANIFESTS.rglob("kustomization.yaml")
    if yaml.safe_load(file.read_text(encoding="utf-8"))["kind"] == "Kustomization"
)
OVERLAYS = sorted(f"overlays/{env}/{mode}" for env in ("dev", "staging", "prod") for mode in ("knative", "standard"))
Document = dict[str, Any]
_built: dict[str, list[Document]] = {}


def build(folder: str) -> list[Document]:
    """The documents of a folder, as kubectl would apply them."""
    if folder not in _built:
        done = subprocess.run(
            [str(KUBECTL), "kustomize", str(MANIFESTS / folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        _built[folder] = list(yaml.safe_load_all(done.stdout))
    return _built[folder]


def of_kind(folder: str, kind: str) -> list[Document]:
    return [one for one in build(folder) if one["kind"] == kind]


def pods(folder: str) -> dict[tuple[str, str], Document]:
    """Templates of the pods that an overlay starts itself, by namespace and name."""
    made = [*of_kind(folder, "Deployment"), *of_kind(folder, "StatefulSet")]
    return {(one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]["template"] for one in made}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_builds_and_its_documents_are_what_their_apis_take(folder: str) -> None:
    documents = build(folder)
    assert documents
    for document in documents:
        assert faults(document) == [], (document["kind"], document["metadata"]["name"])


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.replicas", "2"),
        ("Deployment", "spec.replica", 2),
        ("Certificate", "spec.dnsName", "a.example.com"),
        ("NetworkPolicy", "spec.podSelector", None),
        ("AlertmanagerConfig", "spec.receivers", []),
    ],
)
def test_a_wrong_field_is_found(kind: str, path: str, value: Any) -> None:
    document = yaml.safe_load(yaml.safe_dump(of_kind("overlays/prod/standard", kind)[0]))
    *parents, last = path.split(".")
    part = document
    for key in parents:
        part = part[key]
    part[last] = value
    assert faults(document) != []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_named_and_never_there(overlay: str) -> None:
    assert of_kind(overlay, "Secret") == []
    for template in pods(overlay).values():
        for container in template["spec"]["containers"]:
            values = {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
            assert not [name for name in values if re.search("PASSWORD|SECRET|TOKEN|KEY|URI", name)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_admitted_by_the_standard_that_its_namespace_enforces_and_has_bounds(overlay: str) -> None:
    enforced = {
        one["metadata"]["name"]: one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for one in of_kind(overlay, "Namespace")
    }
    for (namespace, _), template in pods(overlay).items():
        assert enforced[namespace] == "restricted"
        of_pod = template["spec"]["securityContext"]
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["runAsUser"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert template["spec"]["automountServiceAccountToken"] is False
        for container in template["spec"]["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]+", container["image"]), container["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_and_policies_are_about_pods_that_are_there(overlay: str) -> None:
    started = {
        (space, *pair) for (space, _), one in pods(overlay).items() for pair in one["metadata"]["labels"].items()
    }
    ports = {port["name"] for one in pods(overlay).values() for c in one["spec"]["containers"] for port in c["ports"]}
    for service in of_kind(overlay, "Service"):
        assert {(service["metadata"]["namespace"], *pair) for pair in service["spec"]["selector"].items()} <= started
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for policy in of_kind(overlay, "NetworkPolicy"):
        if not policy["metadata"]["name"].startswith("kubeline-"):
            wanted = policy["spec"]["podSelector"]["matchLabels"].items()
            assert {(policy["metadata"]["namespace"], *pair) for pair in wanted} <= started


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_mlflow_takes_every_option_and_answers_to_its_names_in_the_cluster(overlay: str) -> None:
    (container,) = next(one for (_, name), one in pods(overlay).items() if name == "mlflow")["spec"]["containers"]
    program, command, *given = container["command"]
    assert (program, command) == ("mlflow", "server")
    known = {name for option in mlflow.cli.server.params for name in option.opts}
    options = {name: value for name, _, value in (one.partition("=") for one in given)}
    assert options.keys() <= known
    hosts = options["--allowed-hosts"].split(",")
    assert {"mlflow.$(NAMESPACE):5000", "mlflow.$(NAMESPACE).svc.cluster.local:5000", "$(POD_IP):5000"} <= {*hosts}
    variables = {entry["name"] for entry in container["env"]}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(given))) <= variables
    assert "MLFLOW_BACKEND_STORE_URI" in variables
    named = {one["metadata"]["name"]: one["data"] for one in of_kind(overlay, "ConfigMap")}
    for entry in container["env"]:
        reference = entry.get("valueFrom", {}).get("configMapKeyRef")
        assert reference is None or reference.get("optional") or reference["key"] in named[reference["name"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_entrance_has_a_certificate_of_an_issuer_that_is_there(overlay: str) -> None:
    (issuer,) = of_kind(overlay, "ClusterIssuer")
    name = issuer["metadata"]["name"]
    if overlay.endswith("standard"):
        (gateway,), (certificate,) = of_kind(overlay, "Gateway"), of_kind(overlay, "Certificate")
        assert certificate["spec"]["issuerRef"]["name"] == name
        assert certificate["metadata"]["namespace"] == gateway["metadata"]["namespace"]
        tls = [one["tls"] for one in gateway["spec"]["listeners"] if one["protocol"] == "HTTPS"]
        assert tls == [{"mode": "Terminate", "certificateRefs": [{"name": certificate["spec"]["secretName"]}]}]
        solvers = [s["http01"] for s in issuer["spec"].get("acme", {}).get("solvers", [])]
        for parent in (one for solver in solvers for one in solver["gatewayHTTPRoute"]["parentRefs"]):
            assert parent["name"] == gateway["metadata"]["name"]
            assert parent["namespace"] == gateway["metadata"]["namespace"]
    else:
        (ingress,) = of_kind(overlay, "Ingress")
        assert ingress["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": name}
        assert [one["host"] for one in ingress["spec"]["rules"]] == ingress["spec"]["tls"][0]["hosts"]
        assert all("ingress" in s["http01"] for s in issuer["spec"].get("acme", {}).get("solvers", []))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_runtime_scales_by_what_its_mode_has(overlay: str) -> None:
    (runtime,) = of_kind(overlay, "ServingRuntime")
    groups = {key.partition("/")[0] for key in runtime["spec"]["annotations"]} - {"prometheus.kserve.io"}
    assert groups == {"autoscaling.knative.dev" if overlay.endswith("knative") else "serving.kserve.io"}


def test_alerts_of_production_reach_somebody_and_critical_ones_do_so_twice() -> None:
    overlay = "overlays/prod/standard"
    (config,) = of_kind(overlay, "AlertmanagerConfig")
    channels = {
        one["name"]: [key for key in ("slackConfigs", "emailConfigs") if one.get(key)]
        for one in config["spec"]["receivers"]
    }
    rules = [
        rule
        for document in of_kind(overlay, "PrometheusRule")
        for group in document["spec"]["groups"]
        for rule in group["rules"]
    ]
    assert {rule["labels"]["severity"] for rule in rules} == {"warning", "critical"}
    for rule in rules:
        alert = {"alertname": rule["alert"], **rule["labels"]}
        route = config["spec"]["route"]
        assert matches(route, alert)
        receiver = next((one["receiver"] for one in route["routes"] if matches(one, alert)), route["receiver"])
        expected = ["slackConfigs", "emailConfigs"] if alert["severity"] == "critical" else ["slackConfigs"]
        assert channels[receiver] == expected, rule["alert"]


def matches(route: Document, alert: dict[str, str]) -> bool:
    """Whether Alertmanager sends an alert this way."""
    return all(
        re.fullmatch(one["value"] if one.get("matchType") == "=~" else re.escape(one["value"]), alert[one["name"]])
        for one in route["matchers"]
    )


def test_the_parameters_for_keda_render_a_service_that_kserve_takes() -> None:
    import kserve

    given = yaml.safe_load((MANIFESTS / "autoscaling" / "keda.yaml").read_text(encoding="utf-8"))["service"]
    overrides = given.pop("overrides")
    made = render(Service("flights", "models-prod", "s3://models/1", package_digest="0" * 64, **given), overrides)
    assert made["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
    (metric,) = made["spec"]["predictor"]["autoScaling"]["metrics"]
    assert metric.keys() <= set(kserve.V1beta1MetricsSpec.attribute_map.values())
    assert metric["external"].keys() <= set(kserve.V1beta1ExternalMetricSource.attribute_map.values())
    assert metric["external"]["metric"].keys() <= set(kserve.V1beta1ExternalMetrics.attribute_map.values())
    assert "kubeline_requests_total{" in metric["external"]["metric"]["query"]


def scaled_object(name: str, predictor: Document) -> Document:
    """The ScaledObject that KServe makes (createKedaScaledObject in keda_reconciler.go)."""
    triggers = [
        {
            "type": metric["external"]["metric"]["backend"],
            "metadata": {
                "serverAddress": metric["external"]["metric"]["serverAddress"],
                "query": metric["external"]["metric"]["query"],
                "threshold": metric["external"]["target"]["value"],
            },
        }
        for metric in predictor.get("autoScaling", {}).get("metrics", [])
    ]
    least = predictor.get("minReplicas", 1)
    bounds = {"minReplicaCount": least, "maxReplicaCount": max(predictor.get("maxReplicas", 0), least)}
    spec = {"scaleTargetRef": {"name": name}, "triggers": triggers, **bounds}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name}, "spec": spec}


def test_what_kserve_makes_of_the_parameters_for_keda_is_taken_and_of_a_canary_it_would_not_be() -> None:
    given = yaml.safe_load((MANIFESTS / "autoscaling" / "keda.yaml").read_text(encoding="utf-8"))["service"]
    overrides = given.pop("overrides")
    made = render(Service("flights", "models-prod", "s3://models/1", package_digest="0" * 64, **given), overrides)
    predictor = made["spec"]["predictor"]
    found = scaled_object("flights-predictor", predictor)
    assert (found["spec"]["minReplicaCount"], found["spec"]["maxReplicaCount"]) == (2, 20)
    assert faults(found) == []
    versions = Versions(DeployedModel(predictor, "b" * 64, name="v2"), DeployedModel(predictor, "a" * 64))
    (canary,) = StandardRouter().add_candidate(made, versions, 50, 2)["spec"]["canary"]
    assert faults(scaled_object("flights-v2-predictor", canary["predictor"])) != []
    assert canary["predictor"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
