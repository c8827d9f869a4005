"""Any name that a column of a table can have works in every protocol."""

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.train.component import train
from kubeline.errors import UserError
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import clients
from kubeline.model_package import ModelPackage
from tests.serving.served import serve
from tests.support.artifacts import make_artifact, make_dataset

NAMES = ['a "quoted" one', "back\\slash", "new\nline", "ü", " ", "<b>", "{", "instances"]


def package_of(folder: Any, names: list[str]) -> ModelPackage:
    """A model of columns of these names, numbers and categories in turn."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        name: rng.normal(size=300) if place % 2 else rng.choice(["x", "y"], 300) for place, name in enumerate(names)
    }
    frame = pd.DataFrame({**columns, "target": rng.normal(size=300)})
    model, metrics, report = (make_artifact(folder, kind, kind) for kind in ("Model", "Metrics", "HTML"))
    train.python_func(
        dataset=make_dataset(folder, frame),
        model=model,
        metrics=metrics,
        report=report,
        target="target",
        params={"max_iter": 10},
    )
    return ModelPackage.open(model.path)


def test_every_protocol_and_page_takes_columns_of_any_name(tmp_path: Any) -> None:
    """A quote, a backslash or a control character ended the server at its start."""
    package = package_of(tmp_path, NAMES)
    golden = GoldenRows.of(package)
    rows = range(len(golden.records))
    with serve(package, tmp_path) as served:
        ports = {"http_port": served.http_port, "grpc_port": served.grpc_port}
        for client in clients(SimpleNamespace(model_name=served.name, **ports)):  # type: ignore[arg-type]
            answer = client.read(client.send(client.prepare(golden, rows)), golden)
            assert golden.compare(answer).mismatches(1e-6) == [], client.name
            client.close()
        columns = {name: [record[name] for record in golden.records] for name in NAMES}
        assert served.v1({"inputs": columns})[0] == 200
        assert served.get("/openapi.json")[0] == 200
        described = served.get(f"/v2/models/{served.name}")[1]
        assert [tensor["name"] for tensor in described["inputs"]] == NAMES
        assert "absent" in json.dumps(served.v1({"instances": [{}]})[1])


@pytest.mark.parametrize("name", ["", "expected.prediction", "expected.probability.a", "nul\0l", "output.prediction"])
def test_a_name_that_a_package_cannot_hold_is_refused(tmp_path: Any, name: str) -> None:
    with pytest.raises(
        UserError, match=f"a column has the name {re.escape(repr(name))}, which a model package cannot hold"
    ):
        package_of(tmp_path, [name, "b"])
