"""The path `:explain`: why a prediction is what it is, beside predictions that it never keeps from their answers."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubeline.model_client.golden import GoldenRows
from kubeline.model_package.blocks import Columns
from kubeline.model_package.explanations import Explainer
from tests.support.packages import write_tiny_package
from tests.support.served import Served, serve

RECORD = {"amount": 0.5, "carrier": "UA", "rush": True, "departure": "2013-03-01T09:00:00"}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_explanation_adds_up_to_the_prediction_and_is_that_of_the_package(task: str, tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package", task)  # type: ignore[arg-type]
    with serve(package, tmp_path) as served:
        rows = [*GoldenRows.of(package).records, RECORD]
        status, answer = served.post(f"/v1/models/{served.name}:explain", {"instances": rows})
        assert status == 200
        _, predicted = served.v1({"instances": rows})
        golden = package.signature.encode(package.golden())
        blocks = Columns(package.signature).inputs_of(golden)
        explainer = Explainer(package.predictor(1), blocks)
        for place, one in enumerate(answer["explanations"]):
            of, label = 0, predicted["predictions"][place]
            if task != "regression":
                assert one["prediction"] == label
                assert one["of"] == ("True" if task == "binary" else label)
                of = predicted["classes"].index(one["of"])
            value = label if task == "regression" else predicted["probabilities"][place][of]
            assert one["value"] == pytest.approx(value, abs=1e-6)
            assert one["base"] + sum(one["contributions"].values()) == pytest.approx(one["value"], abs=1e-6)
            assert one["standard_error"] == 0  # of four columns
            if place < len(golden["amount"]):
                expected = explainer.explain(blocks, place).contributions[:, of]
                assert list(one["contributions"].values()) == pytest.approx(expected.tolist(), abs=1e-9)
        if task == "binary":
            _refusals(served)
            _beside_predictions(served)


def _refusals(served: Served) -> None:
    path = f"/v1/models/{served.name}:explain"
    assert served.post(path, {"instances": [{"amount": 1}]})[0] == 400
    status, answer = served.post(path, {"instances": [RECORD] * 101})
    assert (status, "are explained at a time" in answer["error"]) == (413, True)
    assert served.get(path)[0] == 405


def _beside_predictions(served: Served) -> None:
    """Explanations one after the other, and what comes meanwhile: predictions, and a page of health, are answered."""
    path = f"/v1/models/{served.name}:explain"
    rows = {"instances": [{**RECORD, "amount": float(place)} for place in range(100)]}
    with ThreadPoolExecutor(6) as threads:
        long = [threads.submit(served.post, path, rows) for _ in range(6)]
        asked = [served.v1({"instances": [RECORD]})[0] for _ in range(50)]
        assert served.get("/v2/health/ready")[0] == 200
        statuses = [each.result()[0] for each in long]
    assert set(asked) == {200}
    assert 200 in statuses
    assert set(statuses) <= {200, 503}  # more than three at a time are refused, and never wait for each other
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=60) as page:  # noqa: S310 (our own server)
        found = page.read().decode()
    answered = next(line for line in found.splitlines() if "_requests_total" in line and 'protocol="explain"' in line)
    assert 'code="200"' in answered
    rows_counted = sum(
        float(line.split()[-1]) for line in found.splitlines() if line.startswith("kubeline_predictions_total")
    )
    assert rows_counted == 50 + 5  # those of predictions alone
