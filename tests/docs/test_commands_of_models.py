"""Whoever follows the pages that begin with a trained model gets through, by one model of flights and one of customers.

S3 is a server on loopback, which the variables of the environment name; MLflow a real SQLite store.
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import urllib3

from kubeline.cli import main
from kubeline.model_package import ModelPackage
from kubeline.ports import free_ports
from tests.support import real_servers
from tests.support.json_servers import served
from tests.support.packages import write_tiny_package
from tests.support.pages import ROOT
from tests.support.shells import Shell, clean_environment
from tests.support.sigstore_server import SigstoreServer
from tests.support.toy_pipeline import toy

__all__ = ["toy"]  # a fixture
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_steps")]
# What a test adds to runs that have no candidates of their own: what it trains takes a moment.
SMALL = {f"run {one}": f"run {one} --set 'candidates=[{{estimator: linear}}]'" for one in ("training", "retraining")}
TREES = "run training --set 'candidates=[{estimator: hist_gradient_boosting, params: {max_iter: 20}}]'"
FLIGHTS = Path("examples") / "flights"
MONITORING = "--set data=s3://logs/flights --set reference=models:/flights@champion --set at=2013-11-01 --set length=1d"
OWN = "--set data=my.csv --set target=churned --set name=churn"


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    draw, rows = np.random.default_rng(0), 1_000
    calls = draw.normal(3, 1, rows)
    names = [f"c-{n}" for n in range(rows)]
    return pd.DataFrame({"customer": names, "calls": calls, "churned": calls + draw.normal(0, 0.2, rows) > 3})


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory, some_flights: pd.DataFrame) -> Shell:
    """Who has followed the page on signed packages, and has trained a model of flights on the way."""
    folder = tmp_path_factory.mktemp("signing")
    (folder / FLIGHTS / "data").mkdir(parents=True)
    shutil.copy(ROOT / FLIGHTS / "training.yaml", folder / FLIGHTS)
    some_flights.to_parquet(folder / FLIGHTS / "data" / "flights.parquet", index=False)
    shell = Shell("docs/signing.md", folder, {"run training": TREES})
    server = SigstoreServer()
    for command in shell.commands():
        if command.startswith("openssl req -x509"):
            move(shell, folder / "certificates")
        elif command.startswith("model_signing sign sigstore"):
            with_certificates(shell)
            move(shell, folder / "keyless")
            write_tiny_package(folder / "keyless" / "PACKAGE")
            sign_without_a_key(shell, command, server)
            continue
        elif command.startswith("kubeline serve"):
            port = on_free_ports(shell)
            with shell.serving(command, lambda said: "curl" in said):
                assert real_servers.answers(port)
            continue
        elif command.startswith("model_signing verify key"):
            move(shell, folder)
            (trained,) = {file.parent for file in (folder / "runs").rglob("MLmodel")}
            shutil.copytree(trained / "package", folder / "PACKAGE")
            shutil.copy(trained / "serving_input_example.json", folder)
        elif command.startswith("model_signing sign key"):
            (folder / "PACKAGE" / "model.sig").unlink()
        shell.give(command)
    shell.environment["KUBELINE_PUBLIC_KEY"] = "signing.pub"
    with shell.inside():
        assert ModelPackage.open(folder / "PACKAGE").signature.target == "late"
    return shell


def keys(s3: dict[str, str], bucket: str) -> list[str]:
    """The names of what is in a bucket."""
    client = real_servers.s3_client(s3)
    return [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def move(shell: Shell, folder: Path) -> None:
    """To another folder, with nothing exported."""
    folder.mkdir(exist_ok=True)
    shell.folder, shell.environment = folder, clean_environment()


def on_free_ports(shell: Shell) -> int:
    """Have it serve at ports that are free; returns that of HTTP."""
    http, grpc = free_ports(2)
    shell.stands_for = {
        **shell.stands_for,
        "kubeline serve": f"kubeline serve --port {http} --grpc-port {grpc}",
        "kubeline_serving": f"kubeline_serving --http_port {http} --grpc_port {grpc}",
        "localhost:8080": f"localhost:{http}",
    }
    return http


def listening(port: int) -> Callable[[str], bool]:
    """Whether something listens there, whatever was printed."""
    return lambda said: real_servers.answers(port)


def with_certificates(shell: Shell) -> None:
    """What was made and exported signs a package, which opens by it alone."""
    with shell.inside():
        package = write_tiny_package(shell.folder / "own")
        assert ModelPackage.open(package.path).digest == package.digest
        assert (package.path / "model.sig").is_file()


def sign_without_a_key(shell: Shell, command: str, server: SigstoreServer) -> None:
    with served(server) as server.url:
        config, root = shell.folder / "config.json", shell.folder / "trusted_root.json"
        config.write_text(json.dumps(server.trust_config()), encoding="utf-8")
        root.write_text(json.dumps(server.trusted_root()), encoding="utf-8")
        token = server.token("ci@example.com", "https://accounts.example.com")
        trust = f"sign sigstore --trust_config {config} --identity_token {token}"
        shell.stands_for = {"sign sigstore": trust}
        shell.give(command)


def shell_of(page: str, signing: Shell, s3: dict[str, str], **stands_for: str) -> Shell:
    """Who reads another page where a model of flights was trained."""
    folder = signing.folder
    registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/runs/mlflow.db"}
    return Shell(page, folder, {**SMALL, **stands_for}, clean_environment(**s3, **registry))


def test_a_step_of_the_warm_process_prints_and_fails_as_one_of_its_own(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["run", str(toy), "--output", str(tmp_path)]
    assert main(given) == 0
    assert "celebrated" in next(tmp_path.glob("*/logs/celebrate.txt")).read_text(encoding="utf-8").splitlines()
    assert main([*given, "--set", "limit=-1"]) == 2
    assert "failed judge: limit is -1, but it must not be negative" in capsys.readouterr().out


def test_the_page_on_signed_packages(signing: Shell) -> None:
    assert "promote roc_auc" in signing.printed["kubeline run training --params examples/flights/training.yaml"]


@pytest.fixture(scope="module")
def churn(signing: Shell, customers: pd.DataFrame, docker: str) -> Shell:
    """Who has followed README.md, and has trained a model of customers on the way."""
    folder = signing.folder
    customers.drop(columns="customer").to_csv(folder / "my.csv", index=False)
    times = pd.date_range("2026-01-01", periods=len(customers), freq="min", tz="UTC")
    log = customers.rename(columns={"customer": "request.id"}).assign(**{"request.time": times})
    log.to_csv(folder / "log.csv", index=False)
    (folder / ".venv").symlink_to(sys.prefix)
    people = customers.assign(email=customers["customer"] + "@example.com").drop(columns="customer")
    people.to_csv(folder / "people.csv", index=False)
    shell = Shell("README.md", folder, SMALL, clean_environment(DOCKER_HOST=docker))
    for command in shell.commands():
        if command.startswith("kubeline serve"):
            port = on_free_ports(shell)
            with shell.serving(command, lambda said: "curl" in said):
                assert real_servers.answers(port)
        else:
            shell.give(command)
    assert (folder / "late-flights" / "pipelines" / "train.py").is_file()
    return shell


def test_the_first_page(churn: Shell) -> None:
    (trained,) = [printed for command, printed in churn.printed.items() if "data=my.csv" in command]
    assert trained.splitlines()[-1].endswith("registered as models:/churn/1")


def test_the_page_of_the_model_server(signing: Shell, s3: dict[str, str], some_flights: pd.DataFrame) -> None:
    shell = shell_of("serving/README.md", signing, s3, **{"…]}": f"{tensors(some_flights)}]}}"})
    said = []
    with ExitStack() as running:
        for command in shell.commands():
            if command.startswith("curl"):
                said.append(json.JSONDecoder().raw_decode(shell.give(command))[0])
            else:
                running.close()
                port = on_free_ports(shell)
                running.enter_context(shell.serving(command, listening(port)))
    named, listed, described, tensor = said
    assert named == listed
    assert (named["predictions"], named["classes"]) in [([label], ["False", "True"]) for label in ("False", "True")]
    assert "carrier" in {one["name"] for one in described["inputs"]}
    assert {one["name"] for one in tensor["outputs"]} == {"prediction", "probability"}


def tensors(flights: pd.DataFrame) -> str:
    """The columns that the page leaves out, as v2 takes them."""
    row = flights.drop(columns=["departure", "late", "carrier", "month"]).iloc[0]
    kinds = {name: "BYTES" if isinstance(value, str) else "FP32" for name, value in row.items()}
    made = [{"name": name, "shape": [1], "datatype": kinds[name], "data": [row[name]]} for name in row.index]
    return json.dumps(made, default=float)[1:-1]


def test_the_page_on_explanations(signing: Shell, s3: dict[str, str], some_flights: pd.DataFrame) -> None:
    row = some_flights.drop(columns=["departure", "late"]).iloc[0].to_dict()
    filled = {'{"month": 10, …}': json.dumps({**row, "month": 10}, default=float)}
    shell = shell_of("docs/fairness-and-explanations.md", signing, s3, **filled)
    port = on_free_ports(shell)
    with shell.serving("kubeline serve models:/flights@champion", lambda said: "curl" in said):
        assert real_servers.answers(port)
        for command in shell.commands():
            (one,) = json.JSONDecoder().raw_decode(shell.give(command))[0]["explanations"]
            assert one["base"] + sum(one["contributions"].values()) == pytest.approx(one["value"], abs=1e-4)


def test_the_page_on_mlflow(signing: Shell, s3: dict[str, str]) -> None:
    shell = shell_of("docs/mlflow.md", signing, s3)
    (port,) = free_ports(1)
    shell.stands_for = {"5001": str(port)}
    with ExitStack() as running:
        for command in shell.commands():
            if command.startswith("mlflow"):
                running.enter_context(shell.serving(command, listening(port)))
            else:
                (row, *_) = json.JSONDecoder().raw_decode(shell.give(command))[0]["predictions"]
                assert row["prediction"] in {"False", "True"}


def test_the_page_on_the_closed_loop(signing: Shell, s3: dict[str, str], put: Any, some_flights: pd.DataFrame) -> None:
    log = some_flights[some_flights["departure"] < "2013-04-01"].drop(columns="late")
    times = pd.date_range("2013-10-31T06:00Z", periods=len(log), freq="1min")
    put("s3://logs/flights/log.parquet", log.assign(**{"request.id": log.index.astype(str), "request.time": times}))
    shell = shell_of("docs/loop.md", signing, s3, **{"…": MONITORING})
    training = (ROOT / FLIGHTS / "training.yaml").read_text(encoding="utf-8")
    (signing.folder / "training.yaml").write_text(f"{training}source: {{time: departure}}\n", encoding="utf-8")
    for command in shell.commands():
        shell.give(command)
    monitored, retrained, compared = (printed.splitlines()[-1] for printed in shell.printed.values())
    assert "greatest shift" in monitored
    assert "alarm" in retrained
    assert "greatest shift" in compared


def test_the_page_on_the_payload_log(signing: Shell, s3: dict[str, str], put: Any, some_flights: pd.DataFrame) -> None:
    asked_of = some_flights.head(300)
    features = asked_of.drop(columns=["departure", "late"])
    there = {"…": MONITORING.partition("--set at")[0], "s3://logs/flights": "s3://logs/served"}
    there["[month, carrier]"] = f"[{', '.join(features)}]"
    shell = shell_of("docs/payload-log.md", signing, s3, **there)
    outcomes = pd.DataFrame({"request.id": "1", "request.row": range(len(asked_of)), "late": asked_of["late"]})
    put("s3://outcomes/flights/labels.parquet", outcomes)
    asked = {"instances": json.loads(features.to_json(orient="values"))}
    events = [
        {
            "specversion": "1.0",
            "id": "1",
            "type": f"org.kubeflow.serving.inference.{kind}",
            "time": "2026-05-01T12:00:00Z",
            "data": body,
        }
        for kind, body in (("request", asked), ("response", {"predictions": ["False"] * len(asked_of)}))
    ]
    put("s3://logs/events/1.jsonl", "".join(json.dumps(event) + "\n" for event in events))
    for command in shell.commands():
        if not command.startswith("python -m kubeline_serving"):
            shell.give(command)
            continue
        port = on_free_ports(shell)
        shell.stands_for = {**shell.stands_for, "/mnt/models": "PACKAGE"}
        with shell.serving(command, listening(port)):
            url = f"http://127.0.0.1:{port}/v1/models/flights:predict"
            body, known = f'{{"instances": {features.to_json(orient="records")}}}'.encode(), {"X-Request-Id": "1"}
            assert urllib3.request("POST", url, body=body, headers=known).status == 200
        assert any(key.startswith("served/") for key in keys(s3, "logs"))


def test_the_page_on_batch_prediction(churn: Shell, s3: dict[str, str], put: Any, customers: pd.DataFrame) -> None:
    put("s3://bucket/customers/all.parquet", customers)
    shell = shell_of("docs/batch-prediction.md", churn, s3)
    for command in shell.commands():
        assert shell.give(command)
    written = [key for key in keys(s3, "bucket") if key.startswith("predictions/2013-10-01/")]
    assert len([key for key in written if key.endswith(".json")]) == 3


@pytest.mark.parametrize(
    ("page", "stands_for"),
    [
        ("docs/personal-data.md", {}),
        ("docs/tuning.md", {"…": OWN, '"tuning_trials": 50': '"tuning_trials": 2'}),
        ("docs/distributed-training.md", {"…": OWN}),
        ("docs/clusters.md", {"/data": "examples/flights/data", "data/flights.parquet --set": "data --set"}),
        ("pipelines/batch_prediction/README.md", {"data=…": "data=my.csv", "model=…": "model=models:/churn@champion"}),
        (
            "pipelines/monitoring/README.md",
            {"data=…": "data=log.csv", "reference=…": "reference=models:/churn@champion"},
        ),
        ("pipelines/retraining/README.md", {"data=…": "data=log.csv", "history=…": "history=past"}),
        ("pipelines/training/README.md", {"data=…": "data=my.csv"}),
    ],
)
def test_a_page_that_names_a_run(
    page: str, stands_for: dict[str, str], churn: Shell, s3: dict[str, str], docker: str
) -> None:
    filled = {"target=…": "target=churned", "name=…": "name=churn"}
    shell = shell_of(page, churn, s3, **stands_for, **filled)
    shell.environment["DOCKER_HOST"] = docker
    for command in shell.commands():
        if "compile.py" in command:
            compile_elsewhere(shell, command)
        else:
            shell.give(command)


def compile_elsewhere(shell: Shell, command: str) -> None:
    """In a copy of this project, whose compiled files then name the images of the page."""
    folder = shell.folder
    shell.folder = folder / "clone"
    for part in ("components", "pipelines", "src"):
        shutil.copytree(ROOT / part, shell.folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "compile.py", shell.folder)
    (shell.folder / "docs").mkdir()
    shell.give(command)
    compiled = (shell.folder / "pipelines" / "training" / "kubeflow.yaml").read_text(encoding="utf-8")
    assert "image: registry.example.com/ml/kubeline-python-steps:0.1.0" in compiled
    shell.folder = folder
