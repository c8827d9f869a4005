"""Requests of a payload log: matched by their keys, drawn by a hash, their values as numbers."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kubeline.errors import UserError
from kubeline.rollout.probes.outcomes import by_request
from kubeline.rollout.probes.requests import distinct, numbers, positions, requests_of, sampled


def test_keys_match_whatever_types_two_tables_have_for_them() -> None:
    log = pa.table({"id": ["7", "7", "8", "9"], "row": pa.array([0, 1, 0, 0], pa.int32())})
    coded = pa.array(["7", "8", "7", None]).dictionary_encode()
    for ids in (pa.array([7, 8, 7, None]), coded):
        mine, theirs = positions(log, pa.table({"id": ids, "row": pa.array([1, 0, 5, 0])}))
        assert [np.flatnonzero(mine == key).tolist() for key in theirs] == [[1], [2], [], []]


def test_a_key_with_several_values_is_left_out_and_of_the_others_the_first_row_counts() -> None:
    keys, values = np.array([5, 3, 5, 3, 4]), requests_of(pa.chunked_array([["a", "b"], ["c", "b", None]]))
    found, first, several = distinct(keys, values)
    assert (found.tolist(), first.tolist(), several) == ([3, 4], [1, 4], 1)


def test_a_share_of_the_requests_is_drawn_and_the_same_ones_of_any_batch() -> None:
    ids = pa.array([f"r-{number}" for number in range(10_000)])
    drawn = sampled(ids, 0.3)
    assert 2_800 < drawn.sum() < 3_200
    assert (sampled(ids.slice(5_000), 0.3) == drawn[5_000:]).all()
    assert (sampled(ids, 0.6) >= drawn).all()
    assert sampled(ids, 1.0).all()


@pytest.mark.parametrize("values", [[1, 0], [1.0, 0.0], [True, False], [Decimal("1.0"), Decimal("0.0")]])
def test_numbers_are_taken_from_every_type_that_holds_some(values: list[Any]) -> None:
    assert numbers(pa.array(values), "revenue").tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "sentence"), [(["1"], "'revenue' .* string where a number"), ([np.inf], "'revenue' .* infinite number")]
)
def test_texts_and_infinite_numbers_are_none(values: list[Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        numbers(pa.array(values), "revenue")


def test_values_of_one_request_are_a_cluster() -> None:
    found = by_request(np.array([4, 4, 2, 2]), np.array([1.0, 3.0, 8.0, np.nan]))
    assert (found.n, found.mean) == (2, 4.0)
