"""Every window's figures reach a Pushgateway and MLflow, once, and the alerts ask for what is pushed."""

import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from prometheus_client.parser import text_string_to_metric_families

from components.drift_check.component import drift_check
from kubeline.drift import figures
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.registry import open_registry
from kubeline.registry.interface import Submission
from tests.support.artifacts import Maker
from tests.support.dashboards import asked_by

RULES = Path(__file__).parents[2] / "manifests" / "monitoring" / "loop-rule.yaml"
DOCS = Path(__file__).parents[2] / "docs" / "loop.md"


class Gateway:
    """A loopback Pushgateway: what is put replaces its group, and its page is all groups with their labels."""

    def __init__(self) -> None:
        self.groups: dict[str, str] = {}
        self.puts = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                list(text_string_to_metric_families(body))
                outer.groups[self.path] = body
                outer.puts += 1
                self._answer(b"")

            def do_GET(self) -> None:
                self._answer(outer.page().encode())

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def page(self) -> str:
        lines = []
        for path, body in self.groups.items():
            _, job, model = re.fullmatch(r"(/metrics/job/)([^/]+)/model/([^/]+)", path).groups()
            grouping = f'job="{job}",model="{unquote(model)}"'
            lines += [re.sub(r"\{", f"{{{grouping},", line) for line in body.splitlines() if not line.startswith("#")]
        return "\n".join([*lines, ""])

    def samples(self) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
        found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
        for family in text_string_to_metric_families(self.page()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return found


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return list(group["rules"])


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway()
    yield found
    found.server.shutdown()


@pytest.fixture
def registered(tmp_path: Path, package: Any) -> str:
    """A registry whose champion is the package."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = open_registry(uri)
    version = registry.register(
        Submission(name="flights", package=Path(package.path), digest=ModelPackage.open(package.path).digest)
    )
    registry.promote(version)
    return uri


def window_of(flights: pd.DataFrame, dataset: Maker, month: int, until: str, labels: bool = True) -> Any:
    rows = flights[flights["month"] == month]
    made = dataset(rows if labels else rows.drop(columns="late"), f"month {month} {labels}")
    made.metadata["window"] = f"2013-{month:02d}-01T00:00:00+00:00/{until}T00:00:00+00:00"
    return made


def test_figures_of_every_window_are_pushed_and_filed_once_and_an_earlier_one_leaves_the_latest(
    registered: str, gateway: Gateway, flights: pd.DataFrame, dataset: Maker, artifact: Maker
) -> None:
    pages = {name: artifact("HTML", name) for name in ("report", "evidently_report")}
    outputs = {"result": artifact("Artifact", "result"), "metrics": artifact("Metrics", "figures"), **pages}

    def check(window: Any) -> None:
        options = {"evidently": False, "min_auc": 1.0, "pushgateway": gateway.url}
        reference = {"reference_uri": "models:/flights@champion", "tracking_uri": registered}
        drift_check.python_func(window, **outputs, **reference, options=options)

    december = window_of(flights, dataset, 12, "2014-01-01", labels=False)
    check(december)
    check(december)  # the same window once more
    found = gateway.samples()
    (end,) = found["kubeline_monitoring_window_end_seconds"].values()
    assert datetime.fromtimestamp(end, UTC) == datetime(2014, 1, 1, tzinfo=UTC)
    assert sum(found["kubeline_monitoring_verdict"].values()) == 1
    ((labels, value),) = found["kubeline_monitoring_performance"].items()
    assert {"model": "flights", "kind": "estimated", "metric": "roc_auc"}.items() <= dict(labels).items()
    assert value == outputs["metrics"].metadata["estimated_roc_auc"]

    puts = gateway.puts
    check(window_of(flights, dataset, 11, "2013-12-01"))  # made up for
    assert gateway.puts == puts
    check(window_of(flights, dataset, 12, "2014-01-01"))  # with its labels
    pushed = gateway.samples()
    assert len(pushed["kubeline_monitoring_performance"]) == 2
    assert {name for rule in alerts() for name in re.findall(r"kubeline_monitoring_\w+", rule["expr"])} <= set(pushed)
    written = inspect.getsource(figures)  # the classifier's AUC is there where a check has one
    for board in ("drift", "pipeline"):
        for expression in asked_by(RULES.with_name(f"dashboard-{board}.json")):
            named = set(re.findall(r"kubeline_monitoring_(\w+)", expression))
            assert named
            assert [one for one in named if f'"{one}"' not in written] == []
            samples = [one for name in named for one in pushed.get(f"kubeline_monitoring_{name}", {})]
            known = {label for sample in samples for label, _ in sample} | {"model", "version"}
            grouped = " ".join(re.findall(r"by \(([^)]*)\)", expression))
            assert {*re.findall(r"(\w+)\s*=[~\"]", expression), *re.findall(r"\w+", grouped)} <= known, expression

    client = MlflowClient(registered)
    experiment = client.get_experiment_by_name("flights")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.monitored_package != ''")
    steps = {
        name: [one.step for one in client.get_metric_history(run.info.run_id, name)] for name in ("rows", "roc_auc")
    }
    first, last = (int(datetime(*day, tzinfo=UTC).timestamp()) for day in ((2013, 12, 1), (2014, 1, 1)))
    assert sorted(steps["rows"]) == sorted(steps["roc_auc"]) == [first, last]


def test_a_gateway_that_does_not_answer_ends_no_check_and_what_is_no_address_is_refused(
    flights: pd.DataFrame, dataset: Maker, artifact: Maker, package: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pages = {name: artifact("HTML", name) for name in ("report", "evidently_report")}
    outputs = {"result": artifact("Artifact", "result"), "metrics": artifact("Metrics", "figures"), **pages}
    window = window_of(flights, dataset, 12, "2014-01-01")
    silent = Gateway()
    silent.server.shutdown()
    silent.server.server_close()
    options = {"evidently": False, "min_auc": 1.0}
    found = drift_check.python_func(window, **outputs, model=package, options={**options, "pushgateway": silent.url})
    assert found.verdict in ("stable", "drift")
    assert "the figures could not be pushed to the Pushgateway at 127.0.0.1" in caplog.text
    with pytest.raises(UserError, match="give one such as http://pushgateway:9091"):
        drift_check.python_func(window, **outputs, model=package, options={**options, "pushgateway": "gateway:9091"})


def test_every_alert_of_the_loop_names_the_model_and_is_documented() -> None:
    documented = DOCS.read_text()
    for rule in alerts():
        assert "$labels.model" in rule["annotations"]["summary"]
        assert rule["alert"] in documented
