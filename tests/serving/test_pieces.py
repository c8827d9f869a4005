"""A large body is read in pieces, to the same inputs and refusals as a whole, and holds nobody up meanwhile."""

import gc
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kubeline.errors import KubelineError
from kubeline.model_package import ModelPackage
from kubeline_serving.codec.inputs import InputColumns
from kubeline_serving.codec.pieces import PIECE_BYTES, pieces
from kubeline_serving.codec.v1 import V1
from kubeline_serving.errors import TooLarge
from kubeline_serving.memory import PausedCollection
from tests.serving.exchanges import texts_of
from tests.support.packages import write_tiny_package

COUNT = 40_000
RECORD = {"amount": 1.5, "carrier": "AA", "rush": True, "departure": None}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("pieces") / "package")


def rows(form: Callable[[Any], Any], **changes: Any) -> list[Any]:
    return [form({**RECORD, "amount": float(k), "carrier": f"C{k % 7}", **changes}) for k in range(COUNT)]


def values(record: dict[str, Any]) -> list[Any]:
    return [*record.values()]


FORMS = {
    "records": json.dumps({"instances": rows(dict)}),
    "lists": json.dumps({"instances": rows(values)}, separators=(",", ":")),
    "texts that look like the end of a row": json.dumps({"instances": rows(dict, carrier="},{")}),
    "numbers that are none": json.dumps({"instances": rows(dict, amount=float("nan"))}),
    "lines": json.dumps({"instances": rows(dict)}, indent=1),
}


@pytest.mark.parametrize("form", FORMS)
def test_pieces_are_read_as_the_whole_is(package: ModelPackage, form: str) -> None:
    body = FORMS[form].encode()
    v1 = V1(package.signature, 100_000)
    parts = list(pieces(body))
    assert len(parts) > 2
    assert max(map(len, parts)) < 2 * PIECE_BYTES
    found = v1.parse(body)
    whole = v1.inputs(json.loads(body))
    assert found.rows == whole.rows == COUNT
    assert np.array_equal(found.numbers, whole.numbers, equal_nan=True)
    columns = InputColumns(package.signature)
    assert np.array_equal(texts_of(columns, found, 0), texts_of(columns, whole, 0))
    assert np.array_equal(found.codes > columns.missing[:, None], whole.codes > columns.missing[:, None])
    assert np.array_equal(found.doubles, whole.doubles, equal_nan=True)


LAST = json.dumps({**RECORD, "amount": "warm"})
WRONG = {
    "the last row": FORMS["records"][:-2] + f", {LAST}" + "]}",
    "a row within a row": FORMS["lists"].replace("[39000.0", "[[1],[2]", 1),
    "a list of rows twice": FORMS["lists"][:-1] + ',"instances":[[1,2]]}',
    "a list that ends early": FORMS["lists"].replace("],[20000.0", "]],[[20000.0", 1),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_reported_as_of_the_whole(package: ModelPackage, case: str) -> None:
    v1 = V1(package.signature, 100_000)
    body = WRONG[case].encode()
    with pytest.raises(KubelineError) as of_pieces:
        v1.parse(body)
    with pytest.raises(KubelineError) as of_the_whole:
        v1.parse(body + b" " * 200)
    assert not list(pieces(body + b" " * 200))
    assert str(of_pieces.value) == str(of_the_whole.value)


def test_rows_of_all_pieces_count_together(package: ModelPackage) -> None:
    with pytest.raises(TooLarge, match="the request has 40,000 rows, but the server takes at most 39,999"):
        V1(package.signature, COUNT - 1).parse(FORMS["records"].encode())


def test_cycles_are_looked_for_again_when_the_last_large_request_is_read() -> None:
    paused = PausedCollection()
    inside, leave = threading.Barrier(2), threading.Event()

    def other() -> None:
        with paused():
            inside.wait(60)
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    with paused():
        inside.wait(60)
        assert not gc.isenabled()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()
