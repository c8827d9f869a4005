"""Any name that a column of a table can have works in every protocol."""

import json
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kubeline.errors import UserError
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import clients
from kubeline.model_package import ModelPackage
from tests.support.launching import launch
from tests.support.served import Served
from tests.support.training import trained

LONG = "L" * 1_000
NAMES = [
    'a "quoted" one',
    "back\\slash",
    "new\nline",
    "ü",
    " ",
    "<b>",
    "{",
    "instances",
    "\x01",
    "😀",
    LONG,
    "\u202e",
    "%41",
]
CLASSES = ['c"1', "c\\2", "\x02\n", "😀", LONG]
MODEL = 'm"\\ 😀?%41\n'


def package_of(folder: Any, names: list[str]) -> ModelPackage:
    """A model of columns of these names, numbers and categories in turn."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        name: rng.normal(size=300) if place % 2 else rng.choice(["x", "y"], 300) for place, name in enumerate(names)
    }
    frame = pd.DataFrame({**columns, "target": rng.choice(CLASSES, 300)})
    return ModelPackage.open(trained(folder, frame, "target", params={"max_iter": 10})["model"].path)


def test_every_protocol_page_and_log_takes_columns_classes_and_models_of_any_name(tmp_path: Any) -> None:
    """A quote, a backslash or a control character ended the server at its start."""
    package = package_of(tmp_path, NAMES)
    golden = GoldenRows.of(package)
    rows = range(len(golden.records))
    log = tmp_path / "log"
    with launch(package, tmp_path, "--payload_log", str(log), model_name=MODEL) as launched:
        ports = {"http_port": launched.http_port, "grpc_port": launched.grpc_port}
        served = Served(package, MODEL, **ports)
        for client in clients(SimpleNamespace(model_name=served.name, **ports)):  # type: ignore[arg-type]
            answer = client.read(client.send(client.prepare(golden, rows)), golden)
            assert golden.compare(answer).mismatches(1e-6) == [], client.name
            client.close()
        columns = {name: [record[name] for record in golden.records] for name in NAMES}
        assert served.v1({"inputs": columns})[0] == 200
        assert served.get("/openapi.json")[0] == 200
        described = served.get(f"/v2/models/{quote(MODEL)}")[1]
        assert [tensor["name"] for tensor in described["inputs"]] == NAMES
        assert "absent" in json.dumps(served.v1({"instances": [{}]})[1])
        with urlopen(f"{served.url}/metrics", timeout=60) as page:  # noqa: S310 - our own server
            families = text_string_to_metric_families(page.read().decode())
            labels = [sample.labels for family in families for sample in family.samples]
        assert set(NAMES) <= {given.get("column") for given in labels}
        assert {given["model"] for given in labels if "model" in given} == {MODEL}
        launched.process.terminate()
        assert launched.process.wait(240) == 0
    assert all(isinstance(json.loads(line), dict) for line in launched.log.read_text(encoding="utf-8").splitlines())
    logged = pq.read_table(log)
    assert {*NAMES, *(f"output.probability.{name}" for name in CLASSES)} <= set(logged.column_names)
    assert set(logged["model.name"].to_pylist()) == {MODEL}


@pytest.mark.parametrize("name", ["", "expected.prediction", "expected.probability.a", "nul\0l", "output.prediction"])
def test_a_name_that_a_package_cannot_hold_is_refused(tmp_path: Any, name: str) -> None:
    with pytest.raises(
        UserError, match=f"a column has the name {re.escape(repr(name))}, which a model package cannot hold"
    ):
        package_of(tmp_path, [name, "b"])
