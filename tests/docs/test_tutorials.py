"""Whoever follows a tutorial gets through: its commands and snippets are run in their order, as the page has them.

Kubeflow Pipelines and Vertex are servers on loopback; KServe is the embedded one, and MLflow a real SQLite store.
`your-own-table.md` is followed by tests/docs/test_pages.py.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

import embedded_kserve
import pipelines
from embedded_kserve import LocalKServe
from kubeline.deployment.inference_service import Service, render
from kubeline.kubernetes import gke
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.connection import connect
from kubeline.local.parameters import check
from kubeline.model_package import ModelPackage
from kubeline.registry import open_registry
from kubeline.rollout.clock import Clock
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import RolloutStatus, State
from kubeline.rollout.step import roll_out
from kubeline.rollout.store import StatusStore
from tests.support.kfp_server import KfpServer
from tests.support.packages import write_tiny_package
from tests.support.pages import blocks
from tests.support.preflights import FINE, preflights
from tests.support.readers import Reader
from tests.support.shells import Shell
from tests.support.vertex_server import VertexServer
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("warm_steps")
TUTORIALS = ROOT / "docs" / "tutorials"
FLIGHTS = Path("examples") / "flights"
# What a laptop that others use as well changes in the plan of the page; shares and bake are the page's.
FOREST = "random_forest, params: {n_estimators: 10}}"
PATIENT = {"bootstrap": "direct", "poll_seconds": 0.05, "verify_seconds": 0, "smoke": {"max_latency_ms": 0}}


def reader(page: str, folder: Path, *files: str) -> Reader:
    """A reader of one of the tutorials."""
    return Reader(TUTORIALS / page, folder, files)


def customers(folder: Path) -> None:
    """The table `customers.csv`, with a column of times."""
    draw, rows = np.random.default_rng(0), 600
    calls = draw.normal(3, 1, rows)
    churned = calls + draw.normal(0, 0.5, rows) > 3
    signed_up = pd.date_range("2026-01-01", periods=rows, freq="h", tz="UTC")
    table = pd.DataFrame({"calls": calls, "signed_up": signed_up, "churned": churned})
    table.to_csv(folder / "customers.csv", index=False)


@pytest.mark.slow
def test_the_first_run(tmp_path: Path, flights: pd.DataFrame) -> None:
    (tmp_path / FLIGHTS / "data").mkdir(parents=True)
    shutil.copy(ROOT / FLIGHTS / "training.yaml", tmp_path / FLIGHTS)
    flights.iloc[::3].to_parquet(tmp_path / FLIGHTS / "data" / "flights.parquet", index=False)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    less = {"--set seed=1": "--set seed=1 --set 'candidates=[{estimator: linear}]'", "random_forest}": FOREST}
    shell = Shell("docs/tutorials/first-run.md", tmp_path, less)
    for command in shell.commands():
        shell.give(command)
    assert "training" in shell.printed["kubeline list"]
    assert "candidates" in shell.printed["kubeline run training --help"]
    assert '"candidates"' in shell.printed["kubeline schema training"]


@pytest.mark.slow
def test_your_own_component(tmp_path: Path) -> None:
    load_breast_cancer(as_frame=True).frame.rename(columns={"target": "malignant"}).to_csv(
        tmp_path / "cancer.csv", index=False
    )
    shell = Shell("docs/tutorials/your-own-component.md", tmp_path)
    (tmp_path / "mine.py").write_text(next(blocks(ROOT / shell.page, "python")), encoding="utf-8")
    subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, check=True)
    for command in shell.commands():
        shell.give(command)


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Who has followed `from-mlflow.md`."""
    folder = tmp_path_factory.mktemp("churn")
    customers(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")  # and back when the page has set it
        server = reader("from-mlflow.md", folder)
        server.addresses = {"http://mlflow.example.com:5000": f"sqlite:///{folder}/mlflow.db"}
        server.follow()
        yield server


@pytest.mark.slow
def test_from_mlflow(churn: Reader) -> None:
    (training,) = churn.ran.values()
    assert training[1].splitlines()[-1].endswith("registered as models:/churn/1")
    (names,) = churn.python
    rows = pd.DataFrame({"calls": [0.0, 9.0], "signed_up": pd.to_datetime(["2026-01-02"] * 2)})
    assert len(names["model"].predict(rows)) == 2
    assert names["model"].metadata.signature is not None


@pytest.mark.slow
def test_a_canary_on_a_cluster(tmp_path: Path) -> None:
    customers(tmp_path)
    with closing(KfpServer()) as kfp, embedded_kserve.start(tmp_path / "kserve") as cluster:
        kfp.play = "skipped-branch"
        prepare_namespace(cluster, "models")
        page = reader("canary-on-a-cluster.md", tmp_path, "churn.yaml")
        at = f"--kubeconfig {cluster.kubeconfig}"
        page.addresses = {
            "https://kubeflow.example.com": kfp.url,
            "submit training": "submit training --poll 0.01",
            "rollout status": f"rollout status {at}",
            "rollout abort": f"rollout abort {at}",
        }
        steps = page.commands()
        submitted = next(steps)
        assert page.give(submitted)[0] == 0
        given = yaml.safe_load((tmp_path / "churn.yaml").read_text(encoding="utf-8"))
        (run,) = kfp.runs.values()
        assert run["runtime_config"]["parameters"] == given
        here = {"data": str(tmp_path / "customers.csv"), "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
        there = {"cluster": str(cluster.kubeconfig), "gateway": cluster.gateway_url}
        tried = preflights("training", {**given, **here, **there}, tmp_path)
        assert FINE in tried
        with baking(cluster, given, tmp_path) as ended:
            for command in steps:
                assert page.give(command)[0] == 0, page.ran[command]
            assert ended.result(120).outcome == "rolled_back"
        status = page.ran["kubeline rollout status churn --namespace models"][1]
        assert status.startswith("models/churn: baking\n")
        assert "step 1 of 3; last observed share 5 %" in status
        assert run["run_id"] in list(page.ran.values())[-1][1]
    assert kfp.problems == []


def prepare_namespace(cluster: LocalKServe, name: str) -> None:
    """What the commands of kubectl leave: the namespace, and the ServingRuntime in it."""
    api = connect(str(cluster.kubeconfig), 60)
    runtimes = "/apis/serving.kserve.io/v1alpha1/namespaces/{}/servingruntimes"
    there = json.loads(api.ask("GET", f"{runtimes.format('default')}/kubeline").body)
    runtime = {**there, "metadata": {"name": "kubeline", "namespace": name}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for place, document in (("/api/v1/namespaces", namespace), (runtimes.format(name), runtime)):
        assert api.ask("POST", place, json.dumps(document).encode()).status == 201


@contextmanager
def baking(cluster: LocalKServe, given: dict[str, Any], folder: Path) -> Iterator[Future[RolloutStatus]]:
    """A first model serves, and a second one has its first share, by the parameters of a training."""
    connected = Cluster.connect(str(cluster.kubeconfig))
    clock = Clock(connected.time())

    def begin(package: ModelPackage) -> RolloutStatus:
        uri = Path(package.path).absolute().as_uri()
        service = Service(given["name"], storage_uri=uri, package_digest=package.digest, **given["service"])
        plan = RolloutSpec.read({**given["plan"], **PATIENT})
        return roll_out(connected, render(service), plan, package, cluster.gateway_url, clock=clock)

    first, second = (write_tiny_package(folder / name, reference={"made for": name}) for name in ("first", "second"))
    assert begin(first).outcome == "promoted"
    store = StatusStore(connected, given["service"]["namespace"], given["name"])
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(begin, second)

        def bakes() -> bool:
            found = store.read()
            assert not ended.done(), ended.result()
            return found is not None and found.status.state is State.BAKING

        try:
            wait_for(bakes)
            yield ended
        finally:
            clock.cancel()  # the bake of the page is ten minutes


@pytest.mark.slow
def test_retraining_on_a_schedule(churn: Reader, tmp_path: Path) -> None:
    with closing(KfpServer()) as kfp:
        page = reader("retraining-on-a-schedule.md", tmp_path, "schedules.yaml")
        page.addresses = {"https://kubeflow.example.com": kfp.url}
        differ, apply = page.commands()
        assert page.give(differ)[:2] == (1, "+ drift-nightly: create\n+ retrain-on-alarm: create\n")
        assert kfp.writes() == []
        assert page.give(apply)[0] == 0
        assert page.give(differ)[:2] == (0, "  drift-nightly: unchanged\n  retrain-on-alarm: unchanged\n")
        assert len(kfp.recurring) == 2
    assert kfp.problems == []
    log = pd.DataFrame({"request.time": pd.to_datetime(["2026-11-28T12:00Z"]), "calls": [3.0]})
    log.to_parquet(tmp_path / "log.parquet")
    here = {
        "s3://bucket/payload-log/": str(tmp_path / "log.parquet"),
        "s3://bucket/customers/": str(churn.folder / "customers.csv"),
        "s3://bucket/history/churn": str(tmp_path / "history"),
        "http://mlflow.mlflow:5000": f"sqlite:///{churn.folder}/mlflow.db",
        "${scheduled_time}": "2026-11-29T03:30:00Z",
    }
    schedules = yaml.safe_load((tmp_path / "schedules.yaml").read_text(encoding="utf-8"))["schedules"]
    for schedule in schedules.values():
        given = {key: here.get(str(value), value) for key, value in schedule["parameters"].items()}
        assert given["tracking_uri"] == here["http://mlflow.mlflow:5000"], "a pod has no registry of its own"
        assert FINE in preflights(schedule["pipeline"], given, tmp_path)


def test_vertex(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("good-token", encoding="utf-8")
    with closing(VertexServer()) as vertex:
        page = reader("vertex.md", tmp_path, "churn.yaml", "churn.yaml")
        where = f"--endpoint {vertex.url} --logging-endpoint {vertex.url} --token-file token"
        page.addresses = {
            "--location europe-west4": f"--location europe-west4 {where}",
            "submit training": "submit training --poll 0.01",
        }
        page.follow()
        (job,) = vertex.jobs.values()
        assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
        given = job["runtimeConfig"]["parameterValues"]
        assert given["data"].startswith("gs://")
        assert "succeeded" in list(page.ran.values())[-1][1]
    assert vertex.refused == []
    both = yaml.safe_load((tmp_path / "churn.yaml").read_text(encoding="utf-8"))
    assert both.items() > given.items()  # the second block adds to the first
    check(Path(pipelines.__file__).with_name("training") / "vertex.yaml", both)
    gke.check(both["cluster"])
    open_registry(both["tracking_uri"])
