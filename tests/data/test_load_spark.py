"""A SparkApplication writes what is loaded: at an API server, with an operator that does what the real one does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml

from kubeline.errors import PlatformError, UserError
from kubeline.loading.spark import Spark, check_cluster
from tests.support.loading import Load
from tests.support.spark_operator import APPLICATION, Operator
from tests.support.waiting import wait_for

GIVEN = {"image": "apache/spark:4.0.4", "main": "s3a://bucket/prepare.py", "version": "4.0.4"}
MANIFESTS = Path(__file__).parents[2] / "manifests" / "spark"
TEXT = {"type": "string", "minLength": 1}


def closed(required: tuple[str, ...] = (), /, **fields: Any) -> dict[str, Any]:
    """The schema of an object without any other field."""
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


# What the SparkApplication v1beta2 of the Spark operator 2.5 has of the fields that are sent, with its bounds.
SECURITY = closed(
    allowPrivilegeEscalation={"type": "boolean"},
    capabilities=closed(drop={"type": "array", "items": TEXT}),
    runAsNonRoot={"type": "boolean"},
    seccompProfile=closed(("type",), type=TEXT),
)
POD = {"cores": {"type": "integer", "minimum": 1}, "memory": TEXT, "securityContext": SECURITY}
SPEC = closed(
    ("driver", "executor", "mainApplicationFile", "sparkVersion", "type"),
    type={"enum": ["Java", "Python", "Scala", "R"]},
    mode={"enum": ["cluster", "client"]},
    image=TEXT,
    sparkVersion=TEXT,
    mainApplicationFile=TEXT,
    mainClass=TEXT,
    arguments={"type": "array", "items": {"type": "string"}},
    sparkConf={"type": "object", "additionalProperties": {"type": "string"}},
    restartPolicy=closed(type={"enum": ["Never", "Always", "OnFailure"]}),
    driver=closed(**POD, serviceAccount=TEXT),
    executor=closed(**POD, instances={"type": "integer", "minimum": 1}),
)


@pytest.fixture
def operator() -> Iterator[Operator]:
    with Operator() as running:
        yield running
        assert running.store.every(APPLICATION) == []


@pytest.fixture
def given(operator: Operator, tmp_path: Path) -> dict[str, Any]:
    cluster = str(operator.write_kubeconfig(tmp_path / "kubeconfig"))
    return {**GIVEN, "arguments": ["--to", "{source}"], "executors": 3.0, "memory": "4g", "cluster": cluster}


def test_what_an_application_writes_is_loaded_and_it_is_removed(
    operator: Operator, given: dict[str, Any], load: Load, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]})
    states = [{"state": state} for state in ("SUBMITTED", "RUNNING", "SUCCEEDING", "COMPLETED")]
    source = str(tmp_path / "written.parquet")
    with operator.running(*states, write=frame.to_parquet):
        loaded = load(source, spark=given)
    pd.testing.assert_frame_equal(loaded.frame, frame)
    [one] = operator.seen
    jsonschema.validate(one["spec"], SPEC)
    assert one["spec"]["arguments"] == ["--to", source]
    assert one["spec"]["executor"]["instances"] == 3
    asked = {(entry["resource"], entry["verb"]) for entry in operator.faults.answer("GET", "requests", None)}
    documents = yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text(encoding="utf-8"))
    [role] = [one for one in documents if one["kind"] == "Role"]
    assert asked == {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }


def test_an_application_that_fails_is_named_with_its_reason(
    operator: Operator, given: dict[str, Any], load: Load, tmp_path: Path
) -> None:
    failed = {"state": "FAILED", "errorMessage": "driver container failed with ExitCode: 1"}
    sentence = r"SparkApplication default/load-\w+ failed: driver container failed with ExitCode: 1; see the log of its"
    with operator.running({"state": "FAILING"}, failed), pytest.raises(UserError, match=sentence):
        load(str(tmp_path / "written.parquet"), spark=given)


def test_the_words_of_an_application_about_a_value_have_its_form(
    operator: Operator, given: dict[str, Any], load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    words = '[CAST_INVALID_INPUT] The value \'zqxj 1\' of the type "STRING" cannot be cast to "BIGINT"'
    failed = {"state": "FAILED", "errorMessage": words}
    with operator.running({"state": "FAILING"}, failed), pytest.raises(UserError, match="The value 'aaaa 9'") as caught:
        load(str(tmp_path / "written.parquet"), spark=given)
    assert "zqxj" not in f"{caught.value}{caplog.text}{operator.seen}"


STEP = """
import sys
from kubeline.loading.spark import Spark, write_by
spark = Spark.read({"image": "i", "main": "x.py", "version": "4.0.4", "cluster": sys.argv[1]})
write_by(spark, "/data", "one step")
"""


def test_a_step_that_is_killed_is_tidied_up_by_the_next_and_one_asked_to_end_removes_its_application(
    operator: Operator, given: dict[str, Any]
) -> None:
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", STEP, given["cluster"]]

    def step() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})

    with step() as killed:
        [left] = wait_for(lambda: operator.store.every(APPLICATION))
        killed.kill()
    with step() as asked:
        uid = left["metadata"]["uid"]
        wait_for(lambda: any(one["metadata"]["uid"] != uid for one in operator.store.every(APPLICATION)))
        asked.terminate()
        assert asked.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"cpus": 2}, "spark has 'cpus'; there are: image, main, version"),
        ({"image": ""}, "spark has image ''; expected an image with Spark"),
        ({"main": "s3a://b/x.sh"}, "expected one that ends in .py, .R, .jar"),
        ({"main": "s3a://b/x.jar"}, "a jar, and no main_class; name the class to run"),
        ({"executors": 0}, "spark has executors 0; expected a whole number from 1 to 10,000"),
        ({"memory": "4Gi"}, "spark has memory '4Gi'; expected it as Spark writes it, such as 4g"),
        ({"arguments": "x"}, "spark has arguments 'x'; expected a list of texts"),
        ({"conf": {"a": 1}}, r"spark has conf \{'a': 1\}; expected properties with texts"),
        ({"namespace": 1}, "spark has namespace 1; expected text"),
    ],
)
def test_an_application_that_cannot_be_is_refused(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        _ = Spark.read({**GIVEN, **more})


def test_a_cluster_without_the_operator_or_the_rights_is_named_before_a_run(
    operator: Operator, given: dict[str, Any]
) -> None:
    spark = Spark.read(given)
    assert spark is not None
    check_cluster(spark)
    kinds, operator.store.kinds = operator.store.kinds, ()
    with pytest.raises(PlatformError, match="does not know SparkApplication"):
        check_cluster(spark)
    operator.store.kinds = kinds
    denied = {"action": "deny", "verb": "create", "resource": "sparkapplications", "times": 0}
    operator.faults.answer("POST", "faults", denied)
    with pytest.raises(PlatformError, match=r"may not create sparkapplications.* apply the Role of manifests/spark"):
        check_cluster(spark)
