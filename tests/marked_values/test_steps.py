"""Values of persons that go through all steps, in columns that were warned of and kept, are shown by none of them.

Each value holds a mark. The tables and the model hold them by purpose; reports, cards, metadata, logs, errors, what is
sent to registries, trackers and people, and what the server says to others than who sent the value do not.
"""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
import urllib3
from gcsfs.core import GCSFileSystem  # type: ignore[import-untyped]

from components.drift_check.component import drift_check
from components.evaluate.component import evaluate
from components.promote_champion.component import promote_champion
from components.register.component import register
from components.split.component import split
from components.train.component import train
from kubeline.data.dataset import read_frame
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage, version_of
from kubeline.rollout.probes import smoke
from kubeline.rollout.probes.outcomes import Outcomes
from kubeline.rollout.spec import OutcomesSpec, SmokeTestSpec
from tests.marked_values.people import MARK, ROWS, Run, content, judge, learn, marked, people
from tests.support.artifacts import make_artifact, make_dataset
from tests.support.google_cloud import use
from tests.support.json_servers import Json, served
from tests.support.launching import launch
from tests.support.model_registry_server import ModelRegistryServer
from tests.support.real_servers import google_cloud_storage
from tests.support.served import Served
from tests.support.vertex_models_server import VertexModelsServer
from tests.support.waiting import wait_for
from tests.support.wandb_server import KEY, WandbServer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """With slices and fairness by such a column."""
    made = Run(tmp_path_factory.mktemp("run"))
    words = io.StringIO()
    handler = logging.StreamHandler(words)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    with redirect_stdout(words), redirect_stderr(words):
        learn(made)
        judge(made)
    logging.getLogger().removeHandler(handler)
    made.said = words.getvalue()
    return made


@pytest.mark.slow
def test_no_report_card_metric_metadata_or_log_of_the_steps_shows_a_value(run: Run) -> None:
    shown = run.shown()
    assert len(shown) > 35
    assert "surname" in shown["drift"]
    assert marked(shown) == []
    reasons = read_frame(run.made["quarantine"].path)["quarantine_reason"]
    assert len(reasons) == ROWS
    assert MARK not in " ".join(reasons)
    history = {str(file): content(file) for file in (run.folder / "history").rglob("*") if file.is_file()}
    assert history
    assert marked(history) == []


# --- what goes to registries and trackers --------------------------------------------------------------------------


class Recording:
    """A server that keeps what it is sent."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.sent_here: list[str] = []

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, dict[str, str], Json]:
        self.sent_here.append(f"{method} {target} {body.decode(errors='replace')}")
        return super().answer(method, target, token, body)  # type: ignore[misc]


class RecordingModelRegistry(Recording, ModelRegistryServer):
    """Kubeflow's."""


class RecordingVertex(Recording, VertexModelsServer):
    """Google's."""


class RecordingWandb(Recording, WandbServer):
    """That of Weights & Biases."""


def filed(run: Run, folder: Path, uri: str) -> dict[str, str]:
    """What `register` and `promote_champion` leave, and what lies in files outside the package's own."""
    registration, card = make_artifact(folder, "Artifact", "registration"), make_artifact(folder, "HTML", "card")
    blessings = run.made["evaluation"], run.made["infra_validation"]
    outputs = {"name": "people", "tracking_uri": uri, "pipeline_run": "run-1"}
    answer = register.python_func(run.made["model"], *blessings, registration, card, **outputs, promote=False)
    decision = make_artifact(folder, "Artifact", "decision")
    shown = {"outcome": "promoted", "package_digest": ModelPackage.open(run.made["model"].path).digest}
    Path(decision.path).write_text(json.dumps(shown), encoding="utf-8")
    champion = [make_artifact(folder, "Artifact", "champion"), make_artifact(folder, "HTML", "champion-card")]
    promote_champion.python_func(
        *champion, name="people", version=answer[0], decision=decision, outcome="promoted", tracking_uri=uri
    )
    own = {file.read_bytes() for file in Path(run.made["model"].path).rglob("*") if file.is_file()}
    files = [file for file in folder.rglob("*") if file.is_file() and file.read_bytes() not in own]
    return {str(file.relative_to(folder)): content(file) for file in files}


@pytest.mark.slow
def test_mlflow_is_sent_no_value_but_in_the_package(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = filed(run, tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    texts["runs of evaluate"] = content(run.folder / "mlflow.db")
    assert "mlflow.db" in texts
    assert len(texts) > 4
    assert marked(texts) == []


@pytest.mark.slow
def test_kubeflows_registry_is_sent_no_value_but_in_the_package(run: Run, tmp_path: Path) -> None:
    server = RecordingModelRegistry()
    with served(server) as url:
        texts = filed(run, tmp_path, f"model-registry+{url}?store={tmp_path}/models")
    assert len(server.sent_here) > 5
    assert marked({**texts, "sent": "\n".join(server.sent_here)}) == []


@pytest.mark.slow
def test_vertex_ai_is_sent_no_value_but_in_the_package(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = RecordingVertex()
    with google_cloud_storage() as storage, served(server) as url:
        use(url, ("aiplatform",), tmp_path, monkeypatch)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage)
        before = fsspec.get_filesystem_class("gs")
        fsspec.register_implementation("gs", GCSFileSystem, clobber=True)
        urllib3.request("POST", f"{storage}/storage/v1/b", json={"name": "bucket"})
        texts = filed(run, tmp_path, "vertex://team/europe-west4?store=gs://bucket/models&image=eu/serving:1")
        fsspec.register_implementation("gs", before, clobber=True)
    assert len(server.sent_here) > 5
    assert marked({**texts, "sent": "\n".join(server.sent_here)}) == []


@pytest.mark.slow
def test_weights_and_biases_is_sent_no_value(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RecordingWandb("team", "people")
    with served(server) as url:
        server.url = url
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        again = Run(tmp_path)
        evaluate.python_func(
            run.made["test"],
            run.made["model"],
            metrics=again.new("Metrics", "figures"),
            classification=again.new("ClassificationMetrics", "curves"),
            blessing=again.new("Artifact", "blessing"),
            predictions=again.new("Dataset", "answers"),
            report=again.new("HTML", "evaluate"),
            slices=["surname"],
            replicates=100,
            champion="models:/people@champion",
            pipeline_run="run-1",
            tracking_uri=f"wandb://team/people?registry=sqlite:///{tmp_path}/mlflow.db",
        )
    assert len(server.sent_here) > 5
    assert marked({**again.shown(), "sent": "\n".join(server.sent_here)}) == []


# --- errors of the steps, and what is said of them -----------------------------------------------------------------


def stray() -> pd.DataFrame:
    """Numbers as text, and one that is none."""
    texts = [str(number / 7) for number in range(ROWS)]
    return people().assign(size=[*texts[:-1], f"{MARK} 1"])


def failing(run: Run, folder: Path) -> dict[str, Any]:
    """Steps that fail by a value, as functions without arguments."""
    table, again = make_dataset(folder, stray(), "stray"), Run(folder)
    one_group = make_dataset(folder, people().assign(surname=f"{MARK}0"), "one")
    odd = make_dataset(folder, people().assign(age=[*["1"] * (ROWS - 1), MARK]), "odd")
    heavy = make_dataset(folder, people().assign(age=MARK), "heavy")
    labels = make_dataset(folder, people().assign(late=f"{MARK}1"), "labels")
    tables = again.news(a="Dataset", b="Dataset", c="Markdown")
    trained = again.news(model="Model", numbers="Metrics", page="HTML")
    checked = again.news(result="Artifact", shift="Metrics", drift="HTML", evidently="HTML")
    judged = {
        name: again.new(kind, name)
        for name, kind in {
            "metrics": "Metrics",
            "classification": "ClassificationMetrics",
            "blessing": "Artifact",
        }.items()
    }
    judged |= {"predictions": again.new("Dataset", "predictions"), "report": again.new("HTML", "report")}
    return {
        "stray": lambda: train.python_func(table, *trained, target="late"),
        "weight": lambda: train.python_func(heavy, *trained, target="late", weight_column="age"),
        "group": lambda: split.python_func(one_group, *tables, by="group", column="surname"),
        "classes": lambda: split.python_func(table, *tables, by="stratified", column="mail"),
        "type": lambda: drift_check.python_func(odd, *checked, model=run.made["model"]),
        "labels": lambda: evaluate.python_func(labels, run.made["model"], **judged),
    }


FAILING = ["stray", "weight", "group", "classes", "type", "labels"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
def test_an_error_of_a_step_shows_no_value(
    name: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(UserError) as caught:
        failing(run, tmp_path)[name]()
    assert MARK not in f"{caught.value}{caplog.text}"


# --- the server, and what judges a rollout -------------------------------------------------------------------------

ROW = {"mail": f"{MARK}1@example.org", "surname": f"{MARK}1", "age": 30}
REQUESTS: dict[str, Any] = {
    "text for a number": {**ROW, "age": f"{MARK}2"},
    "a list for a category": {**ROW, "surname": [f"{MARK}2"]},
    "a record for a number": {**ROW, "age": {MARK: MARK}},
    "no number of JSON": {**ROW, "age": 10**400},
}


@pytest.fixture(scope="module")
def server(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path, Path]]:
    """A process, its log and its payload log."""
    folder = tmp_path_factory.mktemp("server")
    package, payloads = ModelPackage.open(run.made["model"].path), folder / "payloads"
    options = ("--access_log", "--payload_log", str(payloads), "--payload_seconds", "0.2")
    with launch(package, folder, *options, model_name="people") as running:
        yield Served(package, "people", running.http_port, running.grpc_port), running.log, payloads


@pytest.mark.slow
def test_the_server_repeats_no_value_in_answers_logs_metrics_or_its_description(
    server: tuple[Served, Path, Path],
) -> None:
    asked, log, payloads = server
    for name, row in REQUESTS.items():
        for path in ("predict", "explain"):
            status, answer = asked.post(f"/v1/models/people:{path}", {"instances": [row]})
            assert status == 400, (name, answer)
            assert MARK not in str(answer).replace(f"'{MARK}'", ""), name
    tensor = {"name": "age", "shape": [1, 1], "datatype": "BYTES", "data": [f"{MARK}3"]}
    status, answer = asked.v2({"inputs": [tensor]})
    assert (status, MARK in str(answer)) == (400, False)
    status, answer = asked.post("/v1/models/people:predict", f'{{"instances": [{{"age": {MARK}}}]}}'.encode())
    assert (status, MARK in str(answer)) == (400, False)
    assert asked.v1({"instances": [ROW]})[0] == 200
    wait_for(lambda: any(payloads.rglob("*.parquet")), seconds=60)
    assert MARK in "".join(content(file) for file in payloads.rglob("*.parquet"))  # which is what it is for
    metrics = urllib3.request("GET", f"{asked.url}/metrics").data.decode()
    assert marked({"log": log.read_text(), "metrics": metrics}) == []


@dataclass(frozen=True)
class Refusing:
    """A client of a server that refuses whatever it is asked, in its own words."""

    error: Exception

    def prepare(self, golden: Any, rows: Any) -> Any:
        return None

    def send(self, request: Any) -> Any:
        raise self.error

    def read(self, answer: Any, golden: Any) -> Any:
        raise self.error


def test_a_smoke_test_and_the_outcomes_of_a_rollout_show_no_value(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = ModelPackage.open(run.made["model"].path)
    error = ValueError(f"could not convert string to float: '{MARK}1'")
    result = smoke.run(Refusing(error), package, SmokeTestSpec())  # type: ignore[arg-type]
    assert "aaaa9" in result.sentence
    at = datetime(2026, 3, 1, tzinfo=UTC)
    log = pd.DataFrame(
        {
            "request.id": [f"{MARK}-r{number}" for number in range(4)],
            "request.time": at,
            "request.row": np.zeros(4, np.int32),
            "model.version": [version_of(package.digest), "older"] * 2,
            "output.prediction": "True",
            "output.probability.False": np.float32(0.1),
            "output.probability.True": np.float32(0.9),
        }
    )
    (tmp_path / "log" / "date=2026-03-01").mkdir(parents=True)
    log.to_parquet(tmp_path / "log" / "date=2026-03-01" / "part-0.parquet", index=False)
    known = log[["request.id"]].assign(late=f"{MARK}1", worth=f"{MARK}2")
    known.to_parquet(tmp_path / "known.parquet")
    broken = log[["request.id"]].assign(late=[True] * 3 + [f"{MARK}1"], worth=1)
    broken.to_csv(tmp_path / "known.csv", index=False)
    (tmp_path / "broken.csv").write_text(f"request.id,late\n{MARK},True\n{MARK},{MARK},{MARK}\n", encoding="utf-8")
    said = [result.sentence]
    for spec in (
        {"source": "known.parquet"},
        {"source": "known.parquet", "label": "worth"},
        {"source": "known.csv"},
        {"source": "broken.csv"},
    ):
        spec["source"] = str(tmp_path / spec["source"])
        given = OutcomesSpec.model_validate({"payload_log": str(tmp_path / "log"), "value": "worth", **spec})
        labels, business = Outcomes(given, package.signature).compare(
            version_of(package.digest), "older", at.timestamp()
        )
        assert labels is not None
        assert business is not None
        assert labels.problem or business.problem
        said += [labels.problem, business.problem]
    assert marked({"said": "\n".join(said), "log": caplog.text}) == []
