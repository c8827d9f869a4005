"""Each parameter that does not fit the source is one sentence; a filter reaches nothing but the row."""

from pathlib import Path

import pytest
from kfp import dsl

from components.load.component import load
from kubeline.errors import KubelineError, UserError
from tests.data.bad_input import ROWS, Case, assert_case_refused, assert_refused, database, one
from tests.support.loading import Load

CASES: dict[str, Case] = {
    "mixed types in SQLite": (
        database,
        {"query": "SELECT * FROM t"},
        "column 'a' of the query's result holds 1 numbers among 2 values in all; make it one type in the query, *",
    ),
    "a type that a value does not have": (
        one("t.csv", ROWS),
        {"types": {"b": "number"}},
        "a value of '{0}/t.csv' does not have the type that `types` or `where` takes it for (Could not convert string "
        "'a' to DOUBLE); fix one of them",
    ),
    "a type that is none": (
        one("t.csv", ROWS),
        {"types": {"a": "float"}},
        "types asks for 'a' as 'float'; expected one of: text, integer, number, boolean, time, *",
    ),
    "an unknown format": (one("t.csv", ROWS), {"format": "xml"}, "format 'xml' is not known; expected one of: auto, *"),
    "an unknown column": (
        one("t.csv", ROWS),
        {"columns": ["c"]},
        "column 'c' is not a column of this table; it has: a, b",
    ),
    "a column twice": (one("t.csv", ROWS), {"columns": ["a", "a"]}, "columns names a column twice: a, a; name each *"),
    "a filter that leaves no row": (
        one("t.csv", ROWS),
        {"where": "a > 2"},
        "no row of '{0}/t.csv' passes the filter where='a > 2'; widen it",
    ),
    "a filter with a syntax error": (
        one("t.csv", ROWS),
        {"where": "a >"},
        "the filter where='a >' is not an SQL condition (syntax error at or near \")\"); write one such as *",
    ),
    "a filter with an unknown column": (
        one("t.csv", ROWS),
        {"where": 'b = "x"'},
        "the filter where='b = \"x\"' uses 'x', which is not a column (text stands in single quotes); there are: a, b",
    ),
    "a filter of another type": (
        one("t.csv", ROWS),
        {"where": "a = 'x'"},
        "a value of '{0}/t.csv' does not have the type that `types` or `where` takes it for (Could not convert string "
        "'a' to INT64); fix one of them",
    ),
    "a filter that aggregates": (
        one("t.csv", ROWS),
        {"where": "sum(a) > 1"},
        "the filter where='sum(a) > 1' uses the function 'sum'; expected one condition on the values of a row, *",
    ),
    "a database without a query": (
        database,
        {},
        "'sqlite:///{0}/t.db' is a database, so a query is needed, such as query='SELECT * FROM flights'",
    ),
    "a query without a database": (
        one("t.csv", ROWS),
        {"query": "SELECT 1"},
        "a query needs a database (postgresql://, *",
    ),
    "a query with a syntax error": (database, {"query": "SELEC"}, "the query on '*t.db' failed (near \"SELEC\": *"),
    "a query that writes": (
        database,
        {"query": "DELETE FROM t RETURNING a"},
        "the query on '*t.db' failed (attempt to write a readonly database); fix it",
    ),
    "a query without rows": (database, {"query": "SELECT * FROM t WHERE b = 'z'"}, "'*' has columns but no rows; *"),
    "no database at the path": (
        "sqlite:///{0}/none.db",
        {"query": "SELECT 1"},
        "there is no SQLite file at '*none.db'; an absolute path takes four slashes: sqlite:////folder/file.db",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_in_one_sentence(case: Case, tmp_path: Path, output: dsl.Dataset) -> None:
    assert_case_refused(case, tmp_path / "in", output)


@pytest.mark.parametrize(
    "where",
    [
        "a IN (SELECT 1)",
        "EXISTS (SELECT content FROM read_text('/etc/passwd'))",
        "a = (SELECT count(*) FROM glob('/etc/*'))",
        "true) UNION ALL SELECT content, 1 FROM read_text('/etc/passwd') WHERE (true",
        "true) GROUP BY ALL HAVING (true",
        "true) LIMIT (1",
        "true) OR (true",
        "true) OR a IN (1, 2",
        "true LIMIT 1",
        "true); ATTACH '/tmp/kubeline-test.db'; SELECT (true",
        "true; COPY (SELECT 1) TO '/tmp/kubeline-test.csv'",
        "true); SET enable_external_access = true; --",
        "COLUMNS(*) = 1",
    ],
)
def test_a_filter_is_one_condition_and_reaches_nothing_but_the_row(
    where: str, tmp_path: Path, output: dsl.Dataset
) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    sentence = "^the filter where=.* (is not an SQL condition|uses more than one expression|uses a (subquery|star))"
    assert_refused(output, UserError, sentence, str(tmp_path / "t.csv"), where=where)


@pytest.mark.parametrize(
    "where",
    [
        "length(repeat('a', 2000000000)) > 0",
        "len(range(1000000000)) > 0",
        "length(lpad('a', 2000000000, 'b')) > 0",
        "len(generate_series(1, 1000000000)) > 0",
        "getenv('HOME') <> ''",
        "row_number() OVER () = 1",
        "list_sum(list_transform([1, 2], lambda x: x)) > 0",
        "replace(replace(b, 'x', 'xxxxxxxxxx'), 'x', 'xxxxxxxxxx') = 'y'",  # nine of them made 3 GB of each row
        "replace(b, 'x', b) = 'y'",
        "replace(b, a, '') = 'y'",
    ],
)
def test_a_filter_uses_functions_of_a_row_s_values_only(where: str, tmp_path: Path, output: dsl.Dataset) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    assert_refused(
        output,
        UserError,
        "^the filter where=.* uses (the function '|'replace'|a window)",
        str(tmp_path / "t.csv"),
        where=where,
    )


def test_a_filter_of_a_megabyte_is_refused_and_not_shown_whole(tmp_path: Path, output: dsl.Dataset) -> None:
    """A list of 200,000 numbers took 72 seconds, and five megabytes of text stood in the error."""
    (tmp_path / "t.csv").write_text(ROWS)
    where = f"a IN ({', '.join(map(str, range(200_000)))})"
    with pytest.raises(UserError, match=r"… has 1,488,895 characters, and at most 100,000 are read; shorten") as error:
        load.python_func(source=str(tmp_path / "t.csv"), dataset=output, where=where)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "where",
    [
        "replace(b, ',', '.') <> 'y'",
        "upper(b) = 'X' AND a BETWEEN 1 AND 2 OR false",
        "a::VARCHAR ILIKE '1%'",
        "a IN (1, 7) AND NOT b IS NULL",
        "CASE WHEN a > 1 THEN false ELSE strftime(DATE '2013-01-01', '%Y') = '2013' END",
        "regexp_matches(b, '^x') -- one of them",
        "(a = 1) OR (b = 'x')",
        "DATE '2013-01-01' + INTERVAL 1 DAY > DATE '2013-01-01' AND a = 1",
        "extract(year FROM DATE '2013-01-01') = 2013 AND a = 1",
        "b SIMILAR TO 'x' AND b ~ 'x' AND a % 2 = 1 AND -a < 0",
    ],
)
def test_a_filter_of_the_usual_kinds_is_taken(where: str, tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    assert load(tmp_path / "t.csv", where=where).frame["a"].tolist() == [1]


def test_the_engine_itself_opens_nothing_but_the_staged_files(tmp_path: Path) -> None:
    import duckdb

    from kubeline.data.engine import connect, lock

    (tmp_path / "scratch").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    with connect(tmp_path / "scratch") as connection:
        lock(connection)
        for query in (
            f"SELECT * FROM read_text('{tmp_path}/secret.txt')",  # noqa: S608
            f"COPY (SELECT 1) TO '{tmp_path}/new.csv'",
            f"ATTACH '{tmp_path}/new.db'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled by configuration|locked"):
                connection.execute(query)


@pytest.mark.parametrize(
    "source",
    [
        "sqlite:///x.db?key=hunter2",
        "postgresql://me:hunter2/x@127.0.0.1/db",
        "host=127.0.0.1 user=me password=hunter2",
        "jdbc:postgresql://127.0.0.1/db?user=me&password=hunter2",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2;",
        "file://me:hunter2@host/x.csv",
        "//me:hunter2@host/x.csv",
    ],
)
def test_no_form_of_an_address_puts_its_secret_into_an_error(source: str, output: dsl.Dataset) -> None:
    with pytest.raises(KubelineError) as error:
        load.python_func(
            source=source, dataset=output, query="SELECT 1" if "sql" in source.split(":", maxsplit=1)[0] else ""
        )
    assert "hunter2" not in str(error.value)
