"""``golden.json``: values stay exact, and what is damaged, or does not fit the model, is refused in a sentence."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kubeline.columns import Kind
from kubeline.errors import UserError
from kubeline.model_package import Feature, ModelPackage, Predictions, Signature
from kubeline.model_package.golden_rows import from_bytes, to_bytes
from kubeline.model_package.plain_values import plain_values
from tests.support.handmade_packages import signed
from tests.support.packages import write_tiny_package

SIGNATURE = Signature(
    features=[Feature(name="a", kind="number"), Feature(name="b", kind="category")],
    target="y",
    task="binary",
    classes=["no", "yes"],
)
NUMERIC = Signature(features=SIGNATURE.features, target="y", task="regression", classes=None)
ROWS: dict[str, Any] = {
    "instances": [{"a": 1, "b": "x"}, {"a": None, "b": None}],
    "predictions": ["no", "yes"],
    "probabilities": [[0.75, 0.25], [0.1, 0.9]],
}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([2**63 - 1, -(2**63), 2**53 + 1, None, 0]), "number"),
        (pa.array([2**64 - 1], pa.uint64()), "number"),
        (pa.array([0.1, 5e-324, 1.7976931348623157e308, -0.0, None]), "number"),
        (pa.array([0.1, 3.4028235e38], pa.float32()), "number"),
        (pa.array([float("inf"), float("-inf")]), "number"),
        (pa.array([Decimal("1.25"), None]), "number"),
        (pa.array([True, False, None]), "boolean"),
        (pa.array(["", "Zoë", "\\u2028\n\0", "🛫", "1", "null", None]), "category"),
        (pa.array([datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), None]), "datetime"),
    ],
)
def test_values_come_back_with_their_types_to_the_last_bit(column: pa.Array, kind: Kind) -> None:
    signature = Signature(features=[Feature(name="a", kind=kind)], target="y", task="regression", classes=None)
    values = plain_values(column, kind)
    answers = Predictions(np.full(len(values), np.float32(0.1)), None)
    records, found = from_bytes(to_bytes([{"a": value} for value in values], answers), signature, "it")
    assert [repr(record["a"]) for record in records] == [repr(value) for value in values]
    assert found.values.tolist() == answers.values.astype(np.float64).tolist()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_probabilities_come_back_as_the_same_numbers(kind: type) -> None:
    given: Any = np.random.default_rng(0).dirichlet([1, 1], 500).astype(kind)
    answers = Predictions(np.array(["no", "yes"] * 250, object), given)
    _, found = from_bytes(to_bytes([{"a": 1.0, "b": None}] * 500, answers), SIGNATURE, "it")
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.probabilities, given.astype(np.float64))
    assert found.values.tolist() == answers.values.tolist()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"instances": [{"a": 1}, {"a": 1, "b": "x"}]}, "lacks column 'b'"),
        ({"instances": [{"a": 1, "b": "x", "c": 0}] * 2}, "has column 'c'"),
        ({"instances": [{"a": [1], "b": "x"}] * 2}, "is damaged"),
        ({"instances": ROWS["instances"][:1]}, "an answer of the model for each of its rows"),
        ({"predictions": [0.0, 1.0]}, "an answer of the model for each of its rows"),
        ({"predictions": ["no", 1.0]}, "is damaged"),
        ({"probabilities": None}, "the probability of each class for each of its rows"),
        ({"probabilities": [[0.75, 0.25]]}, "the probability of each class for each of its rows"),
        ({"probabilities": [[1.0], [1.0]]}, "the probability of each class for each of its rows"),
        ({"probabilities": [["0.5", "0.5"]] * 2}, "is damaged"),
        ({"further": 1}, "is damaged"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(changed: dict[str, Any], sentence: str) -> None:
    assert from_bytes(json.dumps(ROWS).encode(), SIGNATURE, "it")
    with pytest.raises(UserError, match=rf"^it .*{sentence}.*; train (it|the model) again$"):
        from_bytes(json.dumps(ROWS | changed).encode(), SIGNATURE, "it")


def test_answers_of_a_classification_are_none_of_a_regression() -> None:
    choices: list[dict[str, Any]] = [{"probabilities": None}, {"probabilities": None, "predictions": [0.0, 1.0]}]
    for given in choices:
        content = json.dumps(ROWS | given).encode()
        if given.get("predictions"):
            assert from_bytes(content, NUMERIC, "it")[1].values.tolist() == [0.0, 1.0]
        else:
            with pytest.raises(UserError, match="an answer of the model for each of its rows"):
                from_bytes(content, NUMERIC, "it")


def test_a_sentence_about_damaged_rows_repeats_no_value() -> None:
    with pytest.raises(UserError) as error:
        from_bytes(json.dumps(ROWS | {"predictions": [["secret"]]}).encode(), SIGNATURE, "it")
    assert "secret" not in str(error.value)


def test_no_rows_are_rows_too() -> None:
    content = to_bytes([], Predictions(np.array([], object), np.zeros((0, 2))))
    records, found = from_bytes(content, SIGNATURE, "it")
    assert (records, len(found.values)) == ([], 0)
    assert found.probabilities is not None
    assert found.probabilities.shape == (0, 2)


_IN_LITTLE_MEMORY = """
import resource, sys
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
package = ModelPackage.open(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    package.golden_rows()
except UserError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.parametrize("filling", [b"{},", b'{"a":1},', b"[[[["])
def test_the_memory_that_hostile_rows_take_is_a_small_multiple_of_their_bytes(tmp_path: Path, filling: bytes) -> None:
    write_tiny_package(tmp_path / "package")
    content = b'{"instances":[' + filling * (2**22 // len(filling))
    signed(tmp_path / "package", "golden.json", content)
    command = [sys.executable, "-c", _IN_LITTLE_MEMORY, str(tmp_path / "package")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    kilobytes, _, sentence = done.stdout.partition(" ")
    assert sentence.startswith("golden.json of the model package"), done.stderr
    assert int(kilobytes) * 1024 < 60 * len(content)


def test_golden_rows_as_a_frame_are_what_the_model_reads_and_answers(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    frame = package.golden()
    assert list(frame) == [*package.signature.names, *(f"expected.{name}" for name in EXPECTED)]
    found = package.predictor(threads=1).predict(frame)
    np.testing.assert_array_equal(found.probabilities, frame[[f"expected.{name}" for name in EXPECTED[1:]]])
    assert isinstance(frame, pd.DataFrame)


EXPECTED = ["prediction", "probability.False", "probability.True"]


def test_golden_rows_of_more_than_64_mb_are_not_read(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    signed(package.path, "golden.json", b" " * (64 * 2**20 + 1))
    with pytest.raises(UserError, match=r"golden\.json .* but at most"):
        ModelPackage.open(package.path)
