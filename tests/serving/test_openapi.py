"""The OpenAPI document is valid, says what the server really does, and no request made from it ends in a 500."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from kubeline.model_package import Signature
from kubeline_serving.http.openapi import document
from tests.support.packages import CLASSES, FEATURES, Task
from tests.support.served import Served

SERVER = ("/", "/metrics", "/openapi.json", "/v2", "/v2/health/live", "/v2/health/ready", "/v1/models", "/v2/models")

# The schemas cannot say that all columns are as long, nor that each tensor is there once: hooks keep to the first, and
# of valid requests with tensors none is asked to be accepted. Load and unload are switched off.
SCHEMATHESIS = """
hooks = "HOOKS"

[generation]
max-examples = 15
deterministic = true
database = "none"

[phases.coverage.checks]
positive_data_acceptance.enabled = false

[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "load$"
checks.positive_data_acceptance.enabled = false
"""
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


def described(task: Task) -> dict[str, Any]:
    classes = CLASSES[task]
    outputs: list[dict[str, Any]] = [
        {"name": "prediction", "datatype": "FP64" if classes is None else "BYTES", "shape": [-1]}
    ]
    if classes is not None:
        outputs.append({"name": "probability", "datatype": "FP32", "shape": [-1, len(classes)]})
    return document(Signature(features=FEATURES, target="late", task=task, classes=classes), "tiny", "0" * 12, outputs)


@pytest.mark.slow
def test_requests_made_from_the_document_are_answered_as_it_says(tiny: Served, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS.replace("HOOKS", str(HOOKS)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml")]
    options = ["run", f"{tiny.url}/openapi.json", "--phases", "examples,coverage,fuzzing", "--no-color"]
    ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    _, found = tiny.get("/openapi.json")
    operations = sum(len(each) for each in found["paths"].values()) - 1  # the document itself is not asked again
    assert f"Tested: {operations}" in ended.stdout


@pytest.mark.parametrize("task", CLASSES)
def test_it_is_a_valid_document_for_every_task(task: Task) -> None:
    validate(described(task))


@pytest.mark.parametrize("server", ["tiny", "tiny_regression"])
def test_every_example_is_answered(server: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(server)
    status, found = served.get("/openapi.json")
    assert status == 200
    asked = 0
    for path, operations in found["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        for name, example in content.get("examples", {}).items():
            status, answer = served.post(path, example["value"])
            assert status == 200, (path, name, answer)
            asked += 1
    assert asked == 8  # records, lists and columns by v1, both of its verbs; one row by v2, also under its version


def test_it_lists_every_path_of_the_model(tiny: Served) -> None:
    _, found = tiny.get("/openapi.json")
    version = tiny.package.digest[:12]
    model = f"/v2/models/{tiny.name}"
    for path in (*SERVER, model, f"{model}/infer", f"{model}/versions/{version}", f"{model}/versions/{version}/infer"):
        assert path in found["paths"]
    assert found["info"]["version"] == version


def test_a_column_is_described_with_its_type_and_the_values_training_saw() -> None:
    record = described("binary")["components"]["schemas"]["Record"]
    assert record["required"] == ["amount", "carrier", "rush", "departure"]
    assert record["properties"]["carrier"]["examples"] == ["AA", "UA"]
    assert record["properties"]["carrier"]["type"] == ["string", "null"]
    assert json.loads(json.dumps(record)) == record  # a float32 limit that JSON cannot hold would not come back
