"""Derived columns are the same to NumPy and to both ONNX forms, to the bit, and what DuckDB says of the expression."""

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kubeline.errors import UserError
from tests.support.derived_columns import by_duckdb, by_onnx, declared, raw

QUARTERS = st.integers(-40, 40).map(lambda number: number / 4)
ROWS = st.fixed_dictionaries(
    {
        "a": st.none() | QUARTERS,
        "b": st.none() | QUARTERS,
        "big": st.none() | st.integers(0, 5).map(lambda number: 1_700_000_000.0 + number),
        "flag": st.none() | st.integers(0, 1),
        "t": st.none() | st.integers(-(10**9), 2 * 10**9).map(float),
        "u": st.none() | st.integers(0, 10**5).map(lambda number: number * 3_600.0),
        "c": st.none() | st.sampled_from(["x", "y", "z"]),
        "d": st.none() | st.sampled_from(["x", "y", "w"]),
    }
)
# A table of every value, whose texts are those that are distinguished.
TABLE = raw(
    [
        {"a": a, "b": b, "big": 1.7e9 + row, "flag": row % 2, "t": 1e8 * row, "u": 9e4 * row, "c": c, "d": d}
        for row, (a, b, c, d) in enumerate(
            [(1, 2, "x", "x"), (None, 1, "y", "w"), (0, -3, "z", None), (-2.5, None, None, "y"), (7, 7, "x", "y")] * 2
        )
    ]
)


def numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda pair: f"({pair[0]} + {pair[1]})"),
        two.map(lambda pair: f"({pair[0]} - {pair[1]})"),
        two.map(lambda pair: f"({pair[0]} * 0.5 / nullif({pair[1]}, 0))"),
        two.map(lambda pair: f"greatest({pair[0]}, {pair[1]})"),
        two.map(lambda pair: f"least({pair[0]}, {pair[1]})"),
        two.map(lambda pair: f"coalesce({pair[0]}, {pair[1]})"),
        two.map(lambda pair: f"nullif({pair[0]}, {pair[1]})"),
        st.tuples(st.sampled_from(["abs", "floor", "ceil", "trunc", "round", "sign", "-"]), inner).map(
            lambda pair: f"{pair[0]}({pair[1]})"
        ),
        st.tuples(
            st.sampled_from("tu"),
            st.sampled_from(["year", "quarter", "month", "day", "hour", "minute", "second", "isodow"]),
        ).map(lambda pair: f"{pair[1]}({pair[0]})::double"),
        st.sampled_from(["second", "minute", "hour", "day", "month", "year"]).map(
            lambda unit: f"date_diff('{unit}', t, u)::double"
        ),
        st.tuples(truths(inner), inner, inner).map(lambda one: f"case when {one[0]} then {one[1]} else {one[2]} end"),
        truths(inner).map(lambda one: f"({one})::int::double"),
    )


def truths(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    plain = st.one_of(
        st.tuples(inner, operators, inner).map(lambda one: f"({one[0]} {one[1]} {one[2]})"),
        operators.map(lambda operator: f"(t {operator} u)"),
        operators.map(lambda operator: f"(t {operator} '2013-05-05 12:00:00')"),
        operators.map(lambda operator: f"(big {operator} 1700000002)"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} between -1 and {pair[1]})"),
        inner.map(lambda one: f"({one} in (1, 2, 0.25))"),
        inner.map(lambda one: f"({one} is null)"),
        st.sampled_from(["flag", "(c = 'x')", "(d in ('y', 'nowhere'))", "(c = d)", "(c <> d)", "(c is not null)"]),
        st.sampled_from(["(c || d = 'xy')", "(coalesce(c, d) = 'y')", "(coalesce(c, 'none') <> d)"]),
    )
    two = st.tuples(plain, plain)
    return st.one_of(
        plain,
        plain.map(lambda one: f"(not {one})"),
        two.map(lambda pair: f"({pair[0]} and {pair[1]})"),
        two.map(lambda pair: f"({pair[0]} or {pair[1]})"),
    )


NUMBERS = st.recursive(st.sampled_from(["a", "b", "1.5", "-2"]), numbers, max_leaves=6)
TEXTS = st.sampled_from(
    [
        "c",
        "c || '-' || d",
        "coalesce(c, 'none')",
        "case c when 'x' then 'first' when 'y' then d end",
        "case when a > b then c else d end",
        "nullif(c, d)",
        "if(flag, c || d, 'no')",
    ]
)
TIMES = st.sampled_from(
    ["coalesce(t, u)", "greatest(t, u)", "case when a > 0 then t end", "t::date", "least(t, '2001-01-01'::timestamp)"]
)
EXPRESSIONS = st.one_of(NUMBERS, truths(NUMBERS), TEXTS, TIMES)


@settings(max_examples=20, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=4), st.lists(ROWS, min_size=1, max_size=6))
def test_every_expression_is_the_same_to_numpy_to_onnx_and_to_duckdb(texts: list[str], rows: list[Any]) -> None:
    expressions = {f"x{place}": text for place, text in enumerate(texts)}
    try:
        transform = declared(expressions, TABLE)
    except UserError as error:
        assume("in every row" not in str(error) and "reads no column" not in str(error))
        raise
    frame = raw(rows)
    mine = transform.columns(frame)
    for form, found in by_onnx(transform, TABLE, frame).items():
        pd.testing.assert_frame_equal(found, mine, check_exact=True, obj=form)
    oracle = by_duckdb(expressions, frame)
    for each in transform.derived:
        values = mine[each.name].tolist()
        if each.kind == "category":
            known = [None if value is None or value not in each.texts else value for value in oracle[each.name]]
            assert [each.texts[code] or None for code in values] == known, each
        else:
            wanted = [np.nan if value is None else float(value) for value in oracle[each.name]]
            np.testing.assert_allclose(values, wanted, rtol=1e-6, atol=1e-9, err_msg=each.expression)


ANY = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=30))
def test_numbers_of_any_size_are_the_same_and_what_is_no_number_is_missing(pairs: list[Any]) -> None:
    rest = {"big": None, "flag": 1, "t": 0.0, "u": 0.0, "c": "never seen", "d": "nor this"}
    frame = raw([{"a": a, "b": b, **rest} for a, b in pairs])
    expressions = {
        "difference": "a - b",
        "hinge": "a - b > 0 or a * b < -1",
        "logarithm": "ln(a)",
        "power": "a ** 3 * b",
        "quotient": "a / b",
        "root": "sqrt(a)",
        "same": "c = d",
        "sine": "sin(a / 1e6) + cos(b / 1e6)",
        "exponential": "exp(a)",
        "whole": "floor(a) + round(b)",
    }
    transform = declared(expressions, TABLE)
    mine = transform.columns(frame)
    assert not np.isinf(mine.to_numpy()).any()
    assert mine["same"].isna().all()  # two texts that the table did not have may be equal or not
    for form, found in by_onnx(transform, TABLE, frame).items():
        pd.testing.assert_frame_equal(found, mine, check_exact=True, obj=form)


def test_what_sql_leaves_to_an_error_is_missing_and_the_edges_of_functions_are_exact() -> None:
    rest = {"big": None, "flag": 1, "t": 0.0, "u": 0.0, "c": "x", "d": "y"}
    frame = raw([{"a": a, "b": 0, **rest} for a in (0, 1, -1, 1000, 8, 3e38, None)])
    table = pd.concat([TABLE, frame], ignore_index=True)
    cases: dict[str, list[float | None]] = {
        "a / b": [None] * 7,
        "ln(a)": [None, 0, None, np.log(1000), np.log(8), np.log(3e38), None],
        "log10(a)": [None, 0, None, 3, np.log10(8), np.log10(3e38), None],
        "floor(log10(a))": [None, 0, None, 3, 0, 38, None],
        "log2(a) = 3": [None, 0, None, 0, 1, 0, None],
        "sqrt(a)": [0, 1, None, 1000**0.5, 8**0.5, 3e38**0.5, None],
        "exp(a)": [1, np.e, 1 / np.e, None, np.exp(8), None, None],
        "a * 10": [0, 10, -10, 10_000, 80, None, None],
        "sin(pi() * a)": [0, 0, 0, 0, 0, *[float(np.sin(np.pi * float(np.float32(3e38)))), None]],
        "a >= 0.1 and a <= 1000": [0, 1, 0, 1, 1, 0, None],
    }
    for text, wanted in cases.items():
        found = declared({"x": text}, table).columns(frame)["x"]
        np.testing.assert_allclose(
            found, [np.nan if value is None else value for value in wanted], rtol=1e-6, atol=0, err_msg=text
        )


def test_a_number_of_the_table_equals_the_same_number_of_the_expression() -> None:
    rest = {"b": 0, "big": 1_700_000_001.0, "flag": 1, "t": 0.0, "u": 0.0, "c": "x", "d": "y"}
    frame = raw([{"a": a, **rest} for a in (0.1, 0.7, 0.3)])
    table = pd.concat([TABLE, frame], ignore_index=True)
    expressions = {"tenth": "a = 0.1", "up": "a >= 0.7", "over": "a > 0.3", "account": "big = 1700000001"}
    found = declared(expressions, table).columns(frame)
    assert found[[*expressions]].to_numpy().tolist() == [[1, 0, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]]
