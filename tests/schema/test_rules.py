"""The rule language: what it can say, and what it refuses to do."""

import os
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from kubeline.errors import UserError
from kubeline.schema.rules import RuleRunner, parse_rules

TABLE = pa.table(
    {
        "distance": [100, 0, None, 250],
        "carrier": ["AA", "UA", None, "B6"],
        "dep minute": [1.0, 2.0, 3.0, None],
        "departure": pa.array([0, 1, 2, None], pa.timestamp("s")),
    }
)


def broken(rule: str) -> list[bool]:
    columns = {name: TABLE[name].combine_chunks() for name in TABLE.column_names}
    return RuleRunner(parse_rules([rule], TABLE.column_names)).broken(columns)[rule].tolist()


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("distance > 0", [False, True, False, False]),
        ("distance >= 0 and distance < 200", [False, False, False, True]),
        ("carrier in ('AA', 'UA') or distance = 250", [False, False, False, False]),
        ("carrier is not null", [False, False, True, False]),
        ('"dep minute" between 1 and 2', [False, False, True, False]),
        ("case when carrier = 'AA' then distance > 500 else true end", [True, False, False, False]),
        ("length(upper(carrier)) = 2 and carrier like '_A'", [False, False, False, True]),
        ("departure < timestamp '1970-01-01 00:00:01' + interval 1 second", [False, False, True, False]),
        ("coalesce(distance, 0) % 100 = 0 -- a comment", [False, False, False, True]),
    ],
)
def test_a_rule_is_an_sql_condition_and_passes_where_it_is_unknown(rule: str, rows: list[bool]) -> None:
    assert broken(rule) == rows


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("distance > (select 1)", "a subquery"),
        ("distance in (select 1)", "a subquery"),
        ("exists (from read_csv('/etc/passwd'))", "a subquery"),
        ("carrier = read_text('/etc/passwd')", "the function 'read_text'"),
        ("carrier = getenv('HOME')", "the function 'getenv'"),
        ("main.lower(carrier) = 'aa'", "the function 'lower'"),
        ("sum(distance) > 1", "the function 'sum'"),
        ("sum(distance) over () > 1", "a window"),
        ("replace(carrier, 'a', 'aaaaaaaaaa') = 'x'", "'replace' with more than it takes away"),
        ("replace(carrier, 'a', carrier) = 'x'", "'replace' with more than it takes away"),
        ("repeat(carrier, 1000000000) = 'x'", "the function 'repeat'"),
        ("departure < now()", "the function 'now'"),
        ("list_transform([1], x -> x)[1] = 1", "the function 'list_transform'"),
        ("distance = ?", "a parameter"),
        ("*", "a star"),
        ("abs(distinct distance) > 1", "'abs' with distinct"),
        ("abs(distance order by distance) > 1", "'abs' with order by"),
        ("abs(distance) filter (where distance > 0) > 1", "'abs' with filter"),
        ("||".join(["carrier"] * 102) + " = 'x'", "more than 100 texts put together"),
        (f"carrier = '{'x' * 10_001}'", "a text of more than 10,000 characters"),
    ],
)
def test_a_rule_that_does_more_than_compare_the_values_of_a_row_is_refused(rule: str, what: str) -> None:
    with pytest.raises(UserError, match="expected one condition") as error:
        parse_rules([rule], TABLE.column_names)
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("distance >", "rule 'distance >' is not an SQL condition (syntax error"),
        ("distance) from t; select (1", "rule 'distance) from t; select (1' is not an SQL condition"),
        ("distance > 0), (distance", "rule 'distance > 0), (distance' is not an SQL condition"),
        ("distance > 0) or (distance < 9", "rule 'distance > 0) or (distance < 9' is not an SQL condition"),
        ("distance > 0 limit 1", "rule 'distance > 0 limit 1' is not an SQL condition"),
        ("t.distance > 0", "rule 't.distance > 0' reads 't.distance', which is not a column"),
        ("speed > 0", "rule 'speed > 0' reads 'speed', which is not a column; there are: distance, carrier"),
        ("1 = 1", "rule '1 = 1' reads no column"),
        ("carrier = '\ud800'", "rule \"carrier = '\\ud800'\" holds half of a surrogate pair"),
        ("not " * 600 + "true", f"rule {'not ' * 75!r}… is nested too deeply"),
        ("not " * 2000 + "true", f"rule {'not ' * 75!r}… is nested too deeply"),
        ("+".join(["distance"] * 330) + " > 0", f"rule {('distance+' * 34)[:300]!r}… is nested too deeply"),
        ("", "rule '' is not a text"),
        (7.0, "rule 7.0 is not a text"),
    ],
)
def test_a_rule_that_cannot_be_read_is_reported(rule: Any, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse_rules([rule], TABLE.column_names)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("distance + 1", "rule 'distance + 1' gives int64 instead of true or false"),
        ("carrier > 3", "rule 'carrier > 3' does not fit the columns"),
        ("carrier::int > 3", "rule 'carrier::int > 3' does not fit the columns"),
    ],
)
def test_a_rule_that_does_not_fit_the_types_is_reported(rule: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        broken(rule)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_a_rule_reads_times_on_utc_wherever_it_runs(zone: str) -> None:
    asked = (
        "import pyarrow as pa; from kubeline.schema.rules import RuleRunner, parse_rules; "
        "times = pa.array([0], pa.timestamp('us', 'UTC')); "
        "print(RuleRunner(parse_rules(['hour(t) = 0'], ['t'])).broken({'t': times})['hour(t) = 0'].tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[False]\n", done.stderr
