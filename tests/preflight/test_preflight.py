"""What a run will need is tried before anything is loaded, and everything that is wrong is reported at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import embedded_kserve
from components.preflight.component import preflight
from kubeline.cli import main
from kubeline.errors import PlatformError, UserError
from tests.support.file_servers import S3, serving_files
from tests.support.http_servers import serving

Preflight = Callable[..., str]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "flights.parquet"
    pd.DataFrame({"late": [True, False], "origin": ["EWR", "JFK"], "departure": [1, 2]}).to_parquet(path)
    return path


@pytest.fixture
def run(artifact: Any, table: Path, tmp_path: Path) -> Preflight:
    """`run(**wrong)`: the page of a preflight whose other parameters are right."""

    def tried(**given: Any) -> str:
        report = artifact("HTML", "report")
        pd.DataFrame({"origin": ["EWR"], "seen": [1], "temp": [2.5]}).to_csv(tmp_path / "weather.csv", index=False)
        for features in given.get("source", {}).get("features", []):
            if isinstance(features, dict) and features["source"] == "TABLE":
                features["source"] = str(tmp_path / "weather.csv")
        right = {"data": str(table), "target": "late", "name": "flights", "tracking_uri": f"sqlite:///{tmp_path}/m.db"}
        preflight.python_func(report=report, **{**right, **given})
        return Path(report.path).read_text(encoding="utf-8")

    return tried


def weather(**more: Any) -> dict[str, Any]:
    """How rows are read with the temperature at their origin; `TABLE` is where that is."""
    table = {"source": "TABLE", "keys": ["origin"], "time": "seen", **more}
    if table["source"].startswith("feast"):
        table = {"source": table["source"], "columns": ["weather"]}
    return {"time": "departure", "features": [table]}


def test_columns_of_features_are_known_before_they_are_joined(run: Preflight) -> None:
    run(source=weather(), exclude=["temp", "departure"], target="late")


@pytest.mark.parametrize(
    ("changes", "more", "sentence"),
    [
        (
            {"origin": [1, 2]},
            {},
            r"data: the key 'origin' is .*string in the rows, and 'origin' is int64 in '.*seen.parq",
        ),
        ({"origin": [1, 2]}, {"types": {"origin": "text"}}, ""),
        (
            {"seen": pd.to_datetime([1, 2], utc=True)},
            {},
            r"data: the times of the rows have no time zone, and those of",
        ),
        ({"seen": pd.to_datetime([1, 2], utc=True)}, {"zone": "UTC"}, ""),
        ({}, {}, ""),
    ],
)
def test_files_that_say_their_types_are_compared_before_they_are_joined(
    run: Preflight, table: Path, tmp_path: Path, changes: dict[str, Any], more: dict[str, Any], sentence: str
) -> None:
    rows = pd.read_parquet(table).assign(departure=pd.to_datetime([1, 2]))
    rows.to_parquet(table)
    there = rows.rename(columns={"departure": "seen", "late": "wet"}).assign(**changes)
    there.to_parquet(tmp_path / "seen.parquet")
    with pytest.raises(UserError, match=sentence) if sentence else nullcontext():
        run(source=weather(source=str(tmp_path / "seen.parquet"), **more))


def test_what_is_right_passes_and_what_could_not_be_tried_is_said(run: Preflight) -> None:
    page = run()
    assert "everything that could be tried is fine" in page
    assert "no channel is given" in page


def test_the_workers_of_a_training_are_checked(run: Preflight, tmp_path: Path) -> None:
    given: dict[str, Any] = {"candidates": [{"estimator": "xgboost"}], "training": {"workers": {"count": 2.0}}}
    assert "the workers are processes of the step" in run(**given)
    given["training"] = {"workers": {"count": 2.0, "image": "steps:1", "cluster": str(tmp_path / "none")}}
    with pytest.raises(UserError, match=r"workers: there is no kubeconfig '.*none'"):
        run(**given)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "a/b"}, "name: 'a/b' cannot name a registered model"),
        (
            {"training": {"derive": {"x": "ln(late"}}},
            "training: the derived column 'x', 'ln.late', is not an SQL expression",
        ),
        (
            {"training": {"derive": {"x": "orgin = 'EWR'"}}},
            "training.derive names the column 'orgin', which the table does not",
        ),
        ({"training": {"half_life": "90 days"}}, "training: half_life is '90 days'; expected a length of time"),
        (
            {
                "training": {"half_life": "90d"},
                "group_column": "origin",
                "split": {"by": "time", "column": "departure"},
            },
            "training: half_life is '90d', but the ages of the rows are not known: name their time_column",
        ),
        ({"name": "Flights_2"}, "service: 'Flights_2' cannot name an InferenceService"),
        ({"service": {"namespace": "My_Space"}}, "service: 'My_Space' cannot be a namespace"),
        ({"service": {"overrides": {"metadata": {"name": "x"}}}}, "service: overrides"),
        ({"plan": {"stepz": [5]}}, "plan: the rollout plan is not valid: stepz"),
        ({"plan": {"steps": [50, 5]}}, "plan: the rollout plan is not valid: steps: must rise"),
        ({"plan": {"rules": {"max_error": 1}}}, "plan: the rollout plan is not valid: rules.max_error"),
        ({"candidates": [{"estimator": "xgbost"}]}, "training: estimator 'xgbost' is not known"),
        ({"candidates": [{"estimator": "lightgbm", "params": {"trees": 3}}]}, "'trees' is not a hyperparameter"),
        ({"training": {"workers": {"count": 2}}}, "training: workers are for the estimators xgboost, lightgbm"),
        ({"candidates": [{"estimator": "linear"}] * 9}, "training: 9 candidates were given"),
        (
            {"candidates": [{"estimator": "xgboost", "params": {"n_estimators": 1e308}}]},
            "training: candidate 1 .*so many rounds would not end",
        ),
        ({"training": {"calibration": "platt"}}, "training: calibration is 'platt'; expected one of"),
        ({"training": {"tuning_trials": -1}}, "training: tuning_trials is -1; expected 0"),
        ({"training": {"tuning_minutes": 0}}, "training: tuning_minutes is 0; expected more than 0"),
        ({"max_latency_ms": 0}, "model server: max_latency_ms is 0; expected more than 0"),
        ({"max_latency_ms": float("nan")}, "model server: max_latency_ms is nan"),
        ({"metric": "auc"}, "gate: 'auc' is not a metric; choose one of"),
        ({"metric": "rmse", "gate": {"thresholds": {"roc_auc": 0.6}}}, "gate: .*is not a metric of a"),
        ({"gate": {"thresholds": {"roc_auc": {"min": 0.6}}}}, "gate: the threshold of 'roc_auc' is"),
        ({"gate": {"thresholds": {"rocauc": 0.6}}}, "gate: 'rocauc' is not a metric"),
        (
            {"gate": {"fairness": {"parity": {"columns": ["late"]}}}},
            "gate: fairness names 'parity', which is no metric",
        ),
        (
            {"gate": {"fairness": {"demographic_parity_ratio": {"columns": ["latee"]}}}},
            "gate.fairness names the column 'latee', .*; did you mean 'late'",
        ),
        ({"gate": {"rule": "better"}}, "gate: rule is 'better'"),
        ({"gate": {"margin": 2.0}}, "gate: margin is 2; expected"),
        ({"gate": {"no_champion": "no"}}, "gate: no_champion is 'no'"),
        ({"slices": [3]}, "gate: slices holds 3; expected names of columns"),
        ({"exclude": [1.0]}, "exclude: exclude holds 1.0; expected names of columns"),
        ({"exclude": ["late", ""]}, "exclude: exclude holds ''; expected names of columns"),
        ({"columns": [["late"]]}, r"source: columns holds \['late'\]; expected names of columns"),
        ({"source": {"types": {"late": 1.0}}}, "source: types asks for 'late' as 1.0; expected one of: text"),
        ({"source": {"types": {"lat": "text"}}}, "source.types names the column 'lat', .*; did you mean 'late'"),
        ({"checks": {"rules": [1.0]}}, "checks: rule 1.0 is not a text"),
        ({"checks": {"rules": ["late >"]}}, "checks: rule 'late >' is not an SQL condition"),
        ({"checks": {"rules": ["1 = 1"]}}, "checks: rule '1 = 1' reads no column"),
        (
            {"checks": {"rules": ["depature > 0"]}},
            "checks.rules names the column 'depature', .*; did you mean 'departure'",
        ),
        ({"drift": {"min_effect": float("nan")}, "reference": "models:/f@c"}, "drift: option 'min_effect' is nan"),
        (
            {"slices": ["orgin"]},
            "slices names the column 'orgin', which the table does not have; did you mean 'origin'",
        ),
        ({"target": "lat"}, "target names the column 'lat'"),
        ({"exclude": ["month"]}, "exclude names the column 'month'"),
        ({"columns": ["late", "carrier"]}, "columns names the column 'carrier'"),
        ({"columns": ["late"], "slices": ["origin"]}, "slices names the column 'origin'"),
        ({"split": {"by": "day"}}, "split: by='day' is not a way to split"),
        ({"split": {"by": "group"}}, "split: by='group' needs a column"),
        ({"checks": {"mode": "warning"}}, "checks: mode is 'warning'; expected one of"),
        ({"data": "/nowhere.parquet"}, "data: there is no file at '/nowhere.parquet'"),
        ({"schema_uri": "/nowhere.json"}, "schema: "),
        ({"reference": "models:/flights@champion"}, "has no 'models:/flights@champion'"),
        ({"checks": {"leak_threshold": 0}}, "checks: leak_threshold is 0"),
        ({"checks": {"min_class_share": 2}}, "checks: min_class_share is 2"),
        ({"training": {"fold": 3}}, "training: 'fold' is not an option of this step; did you mean 'folds'"),
        ({"training": {"folds": "three"}}, "training: option 'folds' is 'three'; expected a value such as 5"),
        ({"training": {"folds": 2.5}}, "training: option 'folds' is 2.5; expected a value such as 5"),
        ({"training": {"folds": 1}}, "training: folds is 1; expected at least 2, for cross-validation"),
        ({"training": {"task": "guess"}}, "training: task is 'guess'; expected one of"),
        ({"training": {"balanced": 1}}, "training: option 'balanced' is 1; expected a value such as False"),
        ({"gate": {"replicates": 3}}, "gate: replicates is 3"),
        ({"source": {"format": "xls"}}, "source: format 'xls' is not known"),
        ({"at": "yesterday"}, "source: .*yesterday"),
        ({"source": {"query": "SELECT 1"}}, "source: a query needs a database"),
        ({"source": {"rename": {"dep": "departure"}}}, "source.rename names the column 'dep'"),
        ({"source": {"rename": {"late": "tardy"}}}, "target names the column 'late'"),
        ({"history": "/nowhere"}, "source.time names the column 'request.time'"),
        ({"history": "/nowhere", "source": {"labels": "/nowhere.csv"}}, "data: there is no file at '/nowhere.csv'"),
        ({"source": {"features": ["weather"]}}, r"source: features\[0\] is 'weather'; expected a table of features"),
        ({"source": weather(source="feast:///nowhere")}, "data: there is no registry of Feast at '/nowhere'"),
        ({"source": weather(source="/nowhere.csv")}, "data: there is no file at '/nowhere.csv'"),
        (
            {"source": weather(keys=["carrier"])},
            r"data: the keys of '.*' names the column 'carrier', which is not there",
        ),
        ({"source": weather(time="hour")}, "data: features names the column 'hour', which is not there"),
        ({"source": weather(), "target": "wind"}, "target names the column 'wind', which the table does not have"),
        ({"split": {"by": "time", "column": "arrival"}}, "split.column names the column 'arrival'"),
        ({"drift": {"max_p": 2}, "reference": "models:/flights@champion"}, "drift: max_p is 2"),
        ({"service": {"min_replicas": -1}}, "service: "),
        ({"gateway": "gateway:80"}, "gateway: gateway 'gateway:80' is no address"),
        ({"cluster": "/nowhere/kubeconfig"}, "cluster: "),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name(wrong: dict[str, Any], sentence: str, run: Preflight) -> None:
    with pytest.raises(UserError, match=sentence):
        run(**wrong)


def test_everything_that_is_wrong_is_reported_at_once(run: Preflight) -> None:
    with pytest.raises(UserError) as caught:
        run(name="a/b", plan={"stepz": 1}, metric="auc", candidates=["x"])
    assert all(f"{what}: " in str(caught.value) for what in ("name", "plan", "gate", "training"))
    assert "\n" not in str(caught.value)


@contextmanager
def answering(status: int, text: str) -> Iterator[str]:
    """A server that answers everything alike, at a name that is not localhost's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with serving(Handler) as address:
        yield address


def test_mlflow_that_does_not_know_its_host_is_reported_with_the_option_its_server_needs(run: Preflight) -> None:
    said = "Invalid Host header - possible DNS rebinding attack detected"
    with answering(403, said) as address, pytest.raises(PlatformError) as caught:
        run(tracking_uri=address)
    assert f"--allowed-hosts {address.removeprefix('http://')}" in str(caught.value)
    assert "MLFLOW_TRACKING_TOKEN" not in str(caught.value)


def test_mlflow_that_refuses_the_user_is_reported_with_the_variables_it_needs(run: Preflight) -> None:
    with answering(401, "who are you?") as address, pytest.raises(PlatformError, match="MLFLOW_TRACKING_TOKEN"):
        run(tracking_uri=address)


def test_weights_and_biases_is_asked_beside_the_registry_which_it_is_none_of(
    run: Preflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UserError) as caught:
        run(tracking_uri="wandb://team/flights")
    assert "tracker: WANDB_API_KEY is not set" in str(caught.value)
    assert "registry: Weights & Biases has the runs, but no registry with a champion" in str(caught.value)


def test_mlflow_that_answers_500_is_not_called_unreachable(run: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with answering(500, "oh") as address, pytest.raises(PlatformError, match="was reached, but answers with HTTP 500"):
        run(tracking_uri=address)


def test_the_experiment_of_the_model_is_there_after_a_registry_was_tried(run: Preflight, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/m.db"
    run()
    assert not (tmp_path / "m.db").exists()  # a database is not made for a try
    from mlflow import MlflowClient

    MlflowClient(uri).search_experiments()  # opening it makes it
    run()
    run()

    assert MlflowClient(uri).get_experiment_by_name("flights").tags["kubeline.preflight"] == "passed"


def test_a_champion_that_something_else_registered_is_found_before_anything_runs(
    run: Preflight, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/m.db")
    client.create_registered_model("flights")
    client.create_model_version("flights", "file:///models/of/others")
    run()
    client.set_registered_model_alias("flights", "champion", "1")
    with pytest.raises(UserError, match="registry: models:/flights/1 is no model package"):
        run()


class Readable(S3):
    """A bucket that this user may read, and nothing else."""

    def do_PUT(self) -> None:  # noqa: N802 (http.server's name)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`keys(address)`: the credentials of a step for the store there."""

    def given(address: str) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return given


def test_the_place_of_packages_is_written_to_and_left_as_it_was(run: Preflight, keys: Callable[[str], None]) -> None:
    files = {"models/flights/41/manifest.json": b"{}"}
    written: list[str] = []

    class Noted(S3):
        def do_PUT(self) -> None:  # noqa: N802
            written.append(self.path)
            super().do_PUT()

    with serving_files(Noted, files) as address:
        keys(address)
        page = run(service={"storage_uri": "s3://models/flights/42"})
    assert [path.partition(".")[0] for path in written] == ["/models/flights/42"]  # beside the package, not in it
    assert files == {"models/flights/41/manifest.json": b"{}"}
    assert "not written to" not in page


def test_a_place_of_packages_that_this_step_may_only_read_is_said_to_be_not_checked(
    run: Preflight, keys: Callable[[str], None]
) -> None:
    with serving_files(Readable, {"models/flights/41/manifest.json": b"{}"}) as address:
        keys(address)
        page = run(service={"storage_uri": "s3://models/flights/42"})
    assert "not written to with the credentials of this step" in page


def test_an_unknown_channel_is_reported_without_its_address(run: Preflight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELINE_NOTIFY_URLS", "json://127.0.0.1/hook nonsense://TOKEN")
    with pytest.raises(UserError, match="channels: the URL of channel 2 of 2 is not one that Apprise knows") as caught:
        run()
    assert "TOKEN" not in str(caught.value)


@pytest.mark.slow
def test_a_cluster_is_asked_for_its_rights_and_for_what_the_plan_says(run: Preflight, tmp_path: Path) -> None:
    with embedded_kserve.start(tmp_path / "kserve") as cluster:
        kubeconfig = str(cluster.kubeconfig)
        assert "everything that could be tried is fine" in run(cluster=kubeconfig, gateway=cluster.gateway_url)
        with pytest.raises(UserError, match=r"cluster: there is no stable model at .*bootstrap: refuse"):
            run(cluster=kubeconfig, plan={"bootstrap": "refuse"})
        with pytest.raises(UserError, match="cluster: there is no ServingRuntime 'other' in namespace 'default' and"):
            run(cluster=kubeconfig, service={"overrides": {"spec": {"predictor": {"model": {"runtime": "other"}}}}})
        with pytest.raises(UserError, match="cluster: "):
            run(cluster=kubeconfig, service={"overrides": {"spec": {"predictor": {"minReplica": 1}}}})


def test_a_run_with_a_wrong_plan_ends_before_anything_is_loaded(table: Path, tmp_path: Path, capsys: Any) -> None:
    values = [
        f"data={table}",
        "target=late",
        "name=flights",
        "plan={stepz: [5]}",
        f"tracking_uri=sqlite:///{tmp_path}/m.db",
    ]
    settings = [word for value in values for word in ("--set", value)]
    assert main(["run", "training", "--output", str(tmp_path / "runs"), *settings]) != 0
    printed = capsys.readouterr().out
    assert "✗ preflight" in printed
    assert "plan: the rollout plan is not valid: stepz" in printed
    assert "load" not in [line.split()[1] for line in printed.splitlines() if line.strip().startswith(("✓", "✗"))]
