"""The monitoring manifests speak of metrics that the server has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kubeline_serving.observability.metrics import ServerMetrics
from tests.serving.exchanges import answered
from tests.support.dashboards import asked_by
from tests.support.packages import write_tiny_package

FOLDER = Path(__file__).parents[2] / "manifests" / "monitoring"
DASHBOARDS = ["dashboard.json", "dashboard-rollout.json", "dashboard-drift.json", "dashboard-pipeline.json"]
DOCS = Path(__file__).parents[2] / "docs" / "monitoring.md"
SCRAPED = {"namespace", "pod", "container"}  # labels that the Prometheus operator adds to those of a pod


def document(file: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))
    return parsed


def alerts() -> list[dict[str, Any]]:
    return [rule for group in document("prometheus-rule.yaml")["spec"]["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for rule in alerts():
        yield rule["expr"]
    for name in ("dashboard.json", "dashboard-rollout.json"):
        yield from asked_by(FOLDER / name)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Labels by name of every metric on the pages of a classification and a regression."""
    found: dict[str, set[str]] = {}
    for task in ("multiclass", "regression"):
        package = write_tiny_package(tmp_path_factory.mktemp(task) / "package", task)
        metrics = ServerMetrics("tiny", package)
        metrics.record(answered(package))
        for family in text_string_to_metric_families(metrics.page()[0].decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_expression_asks_for_metrics_and_labels_that_the_server_exposes(
    expression: str, exposed: dict[str, set[str]]
) -> None:
    selectors = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression)
    assert selectors
    assert set(re.findall(r"\b(?:kubeline|process)_\w+", expression)) == {name for name, _ in selectors}
    labels = set(SCRAPED)
    for name, matchers in selectors:
        assert name in exposed
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= exposed[name] | SCRAPED
        labels |= exposed[name]
    grouped = ", ".join(re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression))
    assert set(re.findall(r"\w+", grouped)) <= labels


def test_every_alert_tells_what_happened_and_what_to_do() -> None:
    documented = DOCS.read_text(encoding="utf-8")
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert "$labels.model" in rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
        assert rule["alert"] in documented


def test_every_label_that_an_alert_names_is_left_by_its_expression() -> None:
    for rule in alerts():
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        first = re.search(r"sum by \(([^)]*)\)", rule["expr"])
        assert first is not None
        assert named <= set(re.findall(r"\w+", first[1]))


def test_every_metric_is_documented(exposed: dict[str, set[str]]) -> None:
    documented = DOCS.read_text(encoding="utf-8")
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed}
    assert [name for name in sorted(names) if name.startswith("kubeline") and f"`{name}`" not in documented] == []


def test_the_kustomization_names_what_exists() -> None:
    kustomization = document("kustomization.yaml")
    files = [pair.partition("=")[2] for made in kustomization["configMapGenerator"] for pair in made["files"]]
    assert files == DASHBOARDS
    for name in (*files, *kustomization["resources"]):
        assert (FOLDER / name).is_file()


def test_the_pod_monitor_scrapes_the_port_and_path_of_the_runtime() -> None:
    runtime = yaml.safe_load((FOLDER.parent / "runtime" / "serving-runtime.yaml").read_text(encoding="utf-8"))["spec"]
    (endpoint,) = document("pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    keep, address = endpoint["relabelings"]
    assert keep["regex"] == runtime["containers"][0]["name"]
    assert address["replacement"] == f"$1:{runtime['annotations']['prometheus.kserve.io/port']}"
    assert endpoint["path"] == runtime["annotations"]["prometheus.kserve.io/path"]


def test_the_pod_monitor_keeps_every_metric_of_the_server(exposed: dict[str, set[str]]) -> None:
    (endpoint,) = document("pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    (keep,) = endpoint["metricRelabelings"]
    assert [name for name in exposed if not re.fullmatch(keep["regex"], name)] == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_of_a_dashboard_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((FOLDER / name).read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
