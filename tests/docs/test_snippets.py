"""Every snippet of a page does what the page says: Python is run as it stands, YAML and JSON go to what reads them.

Each block has an entry below, by its page and its number there. A block without one fails, and so does an entry without
a block. Commands are the matter of the other tests of this folder.
"""

import ast
import functools
import json
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from kfp import compiler, dsl
from kfp.dsl.graph_component import GraphComponent

from components.transform.component import transform
from embedded_kserve.faults import Faults
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE
from embedded_kserve.kubernetes.schema import check_fields, check_values
from embedded_kserve.kubernetes.store import Store
from kubeline.local.parameters import check
from kubeline.model_package import ModelPackage
from kubeline.platform.schedule import document
from kubeline.preflight.parameters import check_gate, check_plan, check_service, check_training
from kubeline.registry import Submission, open_registry
from kubeline.rollout.spec import RolloutSpec
from tests.support.artifacts import make_artifact, make_dataset
from tests.support.kfp_server import KfpServer
from tests.support.packages import ROWS, write_tiny_package
from tests.support.pages import PAGES, ROOT, blocks, commands
from tests.support.served import Served, serve

Names = dict[str, Any]
ELSEWHERE = {  # run as they stand by other tests
    "components/": "tests/docs/test_pages.py",
    "docs/testing.md": "tests/testing",
    "docs/tutorials/": "tests/docs/test_tutorials.py",
}
READ_ONLY = {
    "README.md python 3": "Google's SDK takes no other address than Google's; file and parameters are read below",
    "docs/sources.md python 1": "Feast has an environment of its own; tests/data/test_load_feast.py reads its files",
    "docs/monitoring.md promql 1": "make alerts tries queries of these metrics by promtool",
    "docs/registries.md dockerfile 1": "there is no Docker in these tests, and tests/images installs the extras",
}


@functools.cache
def found(*languages: str) -> dict[str, str]:
    """The blocks of all pages, by page, language and number."""
    return {
        f"{page.relative_to(ROOT)} {language} {number}": code
        for page in PAGES
        for language in languages
        for number, code in enumerate(blocks(page, language), 1)
    }


def is_elsewhere(name: str, *starts: str) -> bool:
    return name.startswith(starts or tuple(ELSEWHERE))


def run(code: str, folder: Path, **names: Any) -> Names:
    """What a piece of Python leaves, run in a folder."""
    with chdir(folder):
        exec(compile(code, "snippet", "exec"), names)  # noqa: S102 - our own page
    return names


# --- Python --------------------------------------------------------------------------------------------------------


def a_pipeline(code: str, folder: Path) -> None:
    (made,) = (one for one in run(code, folder).values() if isinstance(one, GraphComponent))
    compiler.Compiler().compile(made, str(folder / "made.yaml"))
    assert yaml.safe_load((folder / "made.yaml").read_text())["root"]["dag"]["tasks"]


def within_a_pipeline(code: str, folder: Path) -> None:
    """A part of a pipeline's function: what comes before it is written here, and an ellipsis is that."""
    before = """
    from kfp import dsl
    import kubeline.components as steps
    from kubeline.components import deploy, import_model, rollout

    @dsl.pipeline(name="whole")
    def whole(data: str = "x"):
        parts = steps.split(dataset=steps.load(source=data).outputs["dataset"])
        learned = steps.train(dataset=parts.outputs["train"], target="late").outputs["model"]
        evaluated = steps.evaluate(test=parts.outputs["test"], model=learned).outputs["blessing"]
        answered = steps.infra_validate(model=learned).outputs["blessing"]
    """
    given = {"model": "learned", "evaluation": "evaluated", "infra_validation": "answered"}
    filled = re.sub(r"(\w+)=…", lambda one: f"{one[1]}={given[one[1]]}", code)
    a_pipeline(textwrap.dedent(before) + textwrap.indent(filled, "    "), folder)


def submitted(code: str, folder: Path) -> None:
    for room in ("examples", "pipelines"):
        (folder / room).symlink_to(ROOT / room)
    server = KfpServer()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KF_PIPELINES_ENDPOINT", server.url)
        run(code, folder)
    (made,) = server.runs.values()
    given = made["runtime_config"]["parameters"]
    assert given["tracking_uri"] == "http://mlflow.mlflow:5000"
    assert check(folder / "pipelines" / "training" / "kubeflow.yaml", given) == given
    assert made["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "training"
    server.close()


def faults_of_a_cluster(code: str, folder: Path) -> None:
    """The last line takes them all back: before it they are there."""
    with ApiServer(Store(())) as server:
        cluster = SimpleNamespace(faults=Faults(server.url, server.token))
        *lines, last = code.strip().splitlines()
        run("\n".join(lines), folder, cluster=cluster)
        assert [one["action"] for one in cluster.faults.pending()] == ["status", "reset-after", "stale", "deny", "slow"]
        run(last, folder, cluster=cluster)
        assert cluster.faults.pending() == []


def champion_in_mlflow(code: str, folder: Path) -> None:
    package = write_tiny_package(folder / "package")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        with chdir(folder):
            registry = open_registry()
            registry.promote(registry.register(Submission("flights", package.path, package.digest)))
        answers = run(code, folder, rows=ROWS)["answers"]
    assert [*answers] == ["prediction", "probability.False", "probability.True"]
    assert len(answers) == len(ROWS)


def compiled(code: str, folder: Path) -> None:
    @dsl.component(base_image="example.com/python:1", install_kfp_package=False)
    def nothing() -> None:
        """Do nothing."""

    @dsl.pipeline(name="train")
    def pipeline() -> None:
        nothing()

    run(code, folder, pipeline=pipeline, Path=Path)
    assert "nothing" in (folder / "train.yaml").read_text()


def predictions_of_a_run(code: str, folder: Path) -> None:
    (where,) = re.findall(r'run = "(.*?)"', code)
    write_tiny_package(folder / where / "train" / "model")
    shutil.move(make_dataset(folder, ROWS).path, folder / where / "load" / "dataset")
    assert len(run(code, folder)["answer"].values) == len(ROWS)


PYTHON: dict[str, Callable[[str, Path], None]] = {
    "README.md python 1": a_pipeline,
    "README.md python 2": submitted,
    "README.md python 4": within_a_pipeline,
    "docs/derived-columns.md python 1": within_a_pipeline,
    "docs/embedded-kserve.md python 1": faults_of_a_cluster,
    "docs/import-model.md python 1": a_pipeline,
    "docs/import-model.md python 2": within_a_pipeline,
    "docs/mlflow.md python 1": champion_in_mlflow,
    "docs/new-project.md python 1": compiled,
    "docs/python-api.md python 1": predictions_of_a_run,
    "docs/rollout.md python 1": within_a_pipeline,
}


@pytest.mark.parametrize("name", PYTHON)
def test_a_snippet_of_python_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    PYTHON[name](found("python")[name], tmp_path)


def test_what_google_is_asked_to_run_is_there_and_takes_its_parameters() -> None:
    (call,) = (
        node
        for node in ast.walk(ast.parse(found("python")["README.md python 3"]))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "aiplatform.PipelineJob"
    )
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert check(ROOT / given["template_path"], given["parameter_values"]) == given["parameter_values"]
    assert {"display_name", "pipeline_root"} < set(given)


# --- YAML ----------------------------------------------------------------------------------------------------------

NEEDED = {"data": "my.csv", "target": "late", "name": "flights"}


def parameters(given: Names, folder: Path, pipeline: str = "training") -> None:
    """Of a pipeline, group by group as `preflight` reads them."""
    known = check(ROOT / "pipelines" / pipeline / "kubeflow.yaml", NEEDED | given)
    check_plan(known.get("plan", {}))
    check_gate("", [], known.get("gate", {}))
    check_training([], known.get("training", {}), 0)
    if "service" in known:
        check_service("flights", known.get("cluster", ""), known["service"])


def plan(given: Names, folder: Path) -> None:
    assert RolloutSpec.model_validate({"steps": [5, 100], **given})


def schedules(given: Names, folder: Path) -> None:
    file = folder / "schedules.yaml"
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    read, files = document.read(file)
    assert set(files) == set(given["schedules"]) == set(read.schedules)


def derived(given: Names, folder: Path) -> None:
    """The parameters are such, and the expressions are tried on a table that has the columns."""
    parameters(given, folder)
    rows = pd.DataFrame(
        {
            "amount": [3.0, 40.0, 700.0, 8.0],
            "limit_amount": [100.0, 0.0, 900.0, 50.0],
            "paid_at": pd.to_datetime(["2026-01-01 03:00", "2026-01-02 14:00", "2026-01-03 23:59", "2026-01-04 08:00"]),
            "opened": pd.to_datetime(["2025-01-01"] * 4),
            "card_country": ["FI", "SE", "FI", "NO"],
            "shop_country": ["FI", "FI", "SE", "NO"],
        }
    )
    outputs = make_artifact(folder, "Artifact", "transform"), make_artifact(folder, "HTML", "report")
    wanted = given["training"]["derive"]
    transform.python_func(make_dataset(folder, rows), *outputs, derive=wanted)
    assert set(outputs[0].metadata["columns"]) == {name for name, expression in wanted.items() if expression}


def inference_service(given: Names, folder: Path) -> None:
    head = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "flights"}}
    check_fields(INFERENCE_SERVICE, {**head, **given})
    check_values(INFERENCE_SERVICE, {**head, **given})


YAML: dict[str, Callable[[Names, Path], None]] = {
    "README.md yaml 1": parameters,
    "docs/derived-columns.md yaml 1": derived,
    "docs/fairness-and-explanations.md yaml 1": parameters,
    "docs/judge.md yaml 1": plan,
    "docs/judge.md yaml 2": plan,
    "docs/model-card.md yaml 1": parameters,
    "docs/openshift.md yaml 1": parameters,
    "docs/payload-log.md yaml 1": inference_service,
    "docs/platforms.md yaml 1": schedules,
    "docs/registries.md yaml 1": parameters,
    "docs/registries.md yaml 2": parameters,
    "docs/registries.md yaml 3": parameters,
    "docs/tutorials/canary-on-a-cluster.md yaml 1": parameters,
    "docs/tutorials/retraining-on-a-schedule.md yaml 1": schedules,
    "docs/tutorials/vertex.md yaml 1": parameters,
    "docs/tutorials/vertex.md yaml 2": parameters,
    "docs/vertex-endpoints.md yaml 1": parameters,
}


@pytest.mark.parametrize("name", YAML)
def test_a_snippet_of_yaml_is_taken_by_what_reads_it(name: str, tmp_path: Path) -> None:
    YAML[name](yaml.safe_load(found("yaml")[name]), tmp_path)


@pytest.mark.parametrize("reads", [parameters, plan])
def test_what_is_misspelt_in_a_snippet_is_found(reads: Callable[[Names, Path], None], tmp_path: Path) -> None:
    with pytest.raises(Exception, match="bake_second"):
        reads({"plan": {"bake_second": 1}} if reads is parameters else {"bake_second": 1}, tmp_path)


# --- JSON, and the requests of the server's page --------------------------------------------------------------------

SERVING = "serving/README.md"


@pytest.fixture(scope="module")
def flights(package: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A trained model of flights and its server."""
    with serve(ModelPackage.open(package.path), tmp_path_factory.mktemp("flights")) as served:
        yield served


@functools.cache
def requests() -> list[tuple[str, str]]:
    """The path and the body of each request that the page sends, in their order."""
    shell = "\n".join(commands(ROOT / SERVING))
    return re.findall(r"curl localhost:8080(\S+) (?:-H '[^']*' )?-d '(.*?)'", shell, re.DOTALL)


def shape(answer: Any) -> Any:
    """An answer without its numbers."""
    if isinstance(answer, dict):
        return {key: shape(value) for key, value in answer.items()}
    return [shape(value) for value in answer] if isinstance(answer, list) else type(answer).__name__


@pytest.mark.slow
def test_the_requests_of_the_servers_page_are_answered_as_it_says(flights: Served) -> None:
    records, lists, tensors = requests()
    shown = [found("json")[f"{SERVING} json {number}"] for number in (1, 2, 3)]
    answers = []
    for path, body in (records, lists):
        status, answer = flights.post(path.replace("flights", flights.name), body.encode())
        assert (status, shape(answer)) == (200, shape(json.loads(shown[0])))
        answers.append(answer)
    assert answers[0] == answers[1]
    status, answer = flights.post(f"/v1/models/{flights.name}:explain", records[1].encode())
    expected = json.loads(shown[1].replace(",…", ""))["explanations"][0]
    assert (status, set(answer["explanations"][0])) == (200, set(expected))
    assert set(expected["contributions"]) < set(answer["explanations"][0]["contributions"])
    wrong = json.loads(records[1])
    wrong["instances"][0]["temp"] = "warm"
    assert flights.v1(wrong) == (400, json.loads(shown[2]))
    assert _tensors(flights, tensors[1], json.loads(records[1])["instances"][0])[0] == 200


def _tensors(flights: Served, body: str, row: Names) -> tuple[int, Any]:
    """Send the tensors of the page, and in the place of its ellipsis those of the other columns."""
    sent = json.loads(body.replace(", …", ""))
    named = {tensor["name"] for tensor in sent["inputs"]}
    _, described = flights.get(f"/v2/models/{flights.name}")
    for column in described["inputs"]:
        if column["name"] not in named:
            sent["inputs"].append(
                {"name": column["name"], "shape": [1], "datatype": column["datatype"], "data": [row[column["name"]]]}
            )
    return flights.v2(sent)


def test_the_line_of_the_servers_log_has_the_fields_that_its_tests_know() -> None:
    """tests/serving/test_logs.py asserts a whole line."""
    line = json.loads(found("json")["docs/monitoring.md json 1"])
    known = (ROOT / "tests" / "serving" / "test_logs.py").read_text(encoding="utf-8")
    assert [field for field in line if field != "time" and f'"{field}":' not in known] == []


# --- all of them ---------------------------------------------------------------------------------------------------


def test_no_block_is_left_out() -> None:
    """Which are run, read, run by another test, or listed with the reason why not."""
    given = found("python", "yaml", "json", "promql", "dockerfile")
    json_read = {name for name in given if name.startswith(SERVING)} | {"docs/monitoring.md json 1"}
    known = {*PYTHON, *YAML, *READ_ONLY, *json_read}
    others = {name for name in given if is_elsewhere(name) and " python " in name}
    assert set(given) - known - others == set()
    assert known - set(given) == set()
    for start, where in ELSEWHERE.items():
        assert any(name.startswith(start) for name in others)
        assert (ROOT / where).exists()
