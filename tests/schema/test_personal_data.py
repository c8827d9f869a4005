"""Columns of personal data are found, and nothing of them is shown, passed on, or passed on as it came."""

import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from kubeline.errors import UserError
from kubeline.schema.personal import personal_columns

ROWS = 60
KEY = "a key that nobody can guess"
MARK = "zqxj"  # in every personal value below


def numbered(form: str) -> list[str]:
    return [form.format(number) for number in range(ROWS)]


def with_check_digit(number: int) -> str:
    body = f"4{number * 7919:014}"
    return body + luhn.calc_check_digit(body)


def account(number: int) -> str:
    body = f"{number * 104729:018}"
    return f"DE{mod_97_10.calc_check_digits(body + 'DE')}{body}"


LOOKING_ALIKE: dict[str, tuple[str, list[Any]]] = {
    "e-mail addresses": ("contact", numbered("person{}@example.org")),
    "IP addresses": ("origin", numbered("10.1.2.{}")),
    "payment card numbers": ("c", [with_check_digit(number) for number in range(ROWS)]),
    "account numbers": ("pays_from", [account(number) for number in range(ROWS)]),
    "telephone numbers": ("called", numbered("+49 30 1234{:04}")),
    "numbers of identity documents": ("of", [f"{number:03}-45-6789" for number in range(1, ROWS + 1)]),
}
BY_NAME = {
    "firstName": ("names of people", numbered("Name {}")),
    "Customer_Name": ("names of people", numbered("Name {}")),
    "date_of_birth": ("dates of birth", list(pd.date_range("1970-01-01", periods=ROWS))),
    "street": ("addresses", numbered("{} Main St")),
    "phone": ("telephone numbers", list(range(ROWS))),
}
OTHERS: dict[str, list[Any]] = {
    "order": [f"{number * 7907:09}" for number in range(ROWS)],
    "ean": [str(4006381333931 + number) for number in range(ROWS)],
    "version": numbered("5.2.{}"),
    "when": numbered("2013-01-{:02}"),
    "email_count": list(range(ROWS)),
    "has_email": [number % 2 == 0 for number in range(ROWS)],
    "product_name": numbered("product {}"),
    "code": numbered("AB-{:04}"),
    "card": numbered("card of {}"),
    "amount": [number / 7 for number in range(ROWS)],
}


@pytest.mark.parametrize("kind", LOOKING_ALIKE)
def test_a_column_is_known_by_its_values_whatever_its_name(kind: str) -> None:
    name, values = LOOKING_ALIKE[kind]
    assert personal_columns(pd.DataFrame({name: values}), {}) == {name: kind}
    spoiled = [value if number % 2 else f"x{number}" for number, value in enumerate(values)]
    assert personal_columns(pd.DataFrame({name: spoiled}), {}) == {}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_column_is_known_by_its_name_where_its_values_can_be_such(name: str) -> None:
    kind, values = BY_NAME[name]
    assert personal_columns(pd.DataFrame({name: values}), {}) == {name: kind}
    assert personal_columns(pd.DataFrame({name: [True, False] * (ROWS // 2)}), {}) == {}


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_resembles_personal_data_is_none(name: str) -> None:
    assert personal_columns(pd.DataFrame({name: OTHERS[name]}), {}) == {}


def test_what_someone_decided_on_is_not_guessed() -> None:
    table = pd.DataFrame({"mail": LOOKING_ALIKE["e-mail addresses"][1], "seat": range(ROWS)})
    assert personal_columns(table, {"mail": False, "seat": True}) == {"seat": "personal data"}


@pytest.fixture
def people() -> pd.DataFrame:
    """A table with two columns of people, one of whose values is missing and one of which is no address."""
    rng = np.random.default_rng(0)
    mails = [f"{MARK}{number}@example.org" for number in range(400)]
    mails[7], mails[9] = None, f"{MARK} has none"  # type: ignore[call-overload]
    return pd.DataFrame(
        {
            "mail": mails,
            "surname": [f"{MARK}{number % 3}" for number in range(400)],
            "age": rng.integers(18, 90, 400),
            "late": rng.random(400) < 0.4,
        }
    )


def shown(result: Any, caplog: pytest.LogCaptureFixture) -> str:
    texts = [Path(result.artifacts[name].path).read_text(encoding="utf-8") for name in ("report", "schema")]
    return "\n".join([*texts, str(result.artifacts["report"].metadata), caplog.text])


@pytest.mark.parametrize("strict", [False, True])
def test_a_table_with_personal_data_is_warned_of_and_no_value_is_shown(
    strict: bool, people: pd.DataFrame, check: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    result = check(people, target="late", strict=strict)
    assert result.passed
    assert "column 'mail' looks like e-mail addresses" in caplog.text
    assert "column 'surname' looks like names of people" in caplog.text
    assert "not shown: names of people" in result.report
    assert MARK not in shown(result, caplog)
    assert result.schema["columns"]["mail"]["personal"] is True
    assert list(result.valid.columns) == list(people.columns)
    assert result.artifacts["valid"].metadata["personal"] == ["mail", "surname"]  # for the reports of later steps


def test_a_table_that_breaks_its_schema_shows_no_value_of_a_person(
    people: pd.DataFrame, check: Callable[..., Any], schema_file: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    schema = check(people, target="late").schema
    people.loc[:99, "surname"] = "Smith"
    schema["columns"]["surname"] |= {"categories": ["Smith"]}
    schema["columns"]["mail"] |= {"max_missing": 0}
    caplog.clear()
    file = schema_file(schema)
    result = check(people, target="late", mode="quarantine", max_quarantine=1, schema_uri=file)
    assert "is none of its 1 category in 300 of 400 rows (values are not shown)" in caplog.text
    assert MARK not in shown(result, caplog)
    assert len(result.quarantine) == 301
    for mode in ("quarantine", "fail"):
        with pytest.raises(UserError, match="values are not shown") as error:
            check(people, target="late", mode=mode, schema_uri=file)
        assert MARK not in str(error.value)


def test_a_table_with_personal_data_is_refused_where_that_is_asked_for(
    people: pd.DataFrame, check: Callable[..., Any]
) -> None:
    with pytest.raises(UserError, match="column 'mail' looks like e-mail addresses") as error:
        check(people, target="late", personal_data="refuse")
    assert MARK not in str(error.value)
    assert "set personal_data to drop or hash" in str(error.value)


def test_dropped_columns_reach_neither_those_who_go_on_nor_the_quarantine(
    people: pd.DataFrame, check: Callable[..., Any], schema_file: Callable[..., str]
) -> None:
    schema = check(people, target="late").schema
    schema["columns"]["age"]["max"] = 60
    result = check(people, target="late", personal_data="drop", mode="quarantine", schema_uri=schema_file(schema))
    assert list(result.valid.columns) == ["age", "late"]
    assert list(result.quarantine.columns) == ["age", "late", "quarantine_reason", "quarantine_row"]
    assert len(result.valid) + len(result.quarantine) == 400
    assert len(result.quarantine) > 0


def test_hashed_values_are_equal_where_the_values_are_and_cannot_be_reported_without_the_key(
    people: pd.DataFrame, check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KUBELINE_HASH_KEY", KEY)
    caplog.set_level(logging.INFO)
    result = check(people, target="late", personal_data="hash", group_column="surname")
    expected = hmac.new(KEY.encode(), f"{MARK}0".encode(), hashlib.sha256).hexdigest()[:32]
    assert result.valid["surname"].iloc[0] == result.valid["surname"].iloc[3] == expected
    assert result.valid["surname"].nunique() == 3
    assert result.valid["mail"].isna().tolist() == people["mail"].isna().tolist()
    assert MARK not in result.valid.to_csv()
    assert KEY not in shown(result, caplog)


@pytest.mark.parametrize(("key", "sentence"), [("", "is not set"), ("short", "is too short to keep values secret")])
def test_without_a_key_that_keeps_secrets_nothing_is_hashed(
    key: str, sentence: str, people: pd.DataFrame, check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBELINE_HASH_KEY", key)
    with pytest.raises(UserError, match=f"KUBELINE_HASH_KEY {sentence}"):
        check(people, target="late", personal_data="hash")


def test_a_column_with_a_role_is_not_dropped_without_a_word(people: pd.DataFrame, check: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"but it is the .*, which personal_data=drop would take away; hash it"):
        check(people, target="late", personal_data="drop", group_column="surname")


@pytest.mark.parametrize(
    ("judged", "parameter"),
    [
        ({"slices": ["surname"]}, "slices"),
        ({"gate": {"fairness": {"demographic_parity_difference": {"columns": ["surname"]}}}}, "gate.fairness"),
    ],
)
def test_a_column_that_the_model_will_be_judged_by_is_there_and_not_dropped(
    judged: dict[str, Any], parameter: str, people: pd.DataFrame, check: Callable[..., Any]
) -> None:
    sentence = f"but it is a column of {parameter}, which personal_data=drop would take away; hash it"
    with pytest.raises(UserError, match=sentence):
        check(people, target="late", personal_data="drop", **judged)
    assert "surname" in check(people, target="late", **judged).valid
    with pytest.raises(UserError, match=f"a column of {parameter}, 'surname' is not a column of this table"):
        check(people.drop(columns="surname"), target="late", **judged)


@pytest.mark.parametrize("handling", ["drop", "hash"])
def test_a_time_of_a_person_is_neither_dropped_nor_hashed(
    handling: str, people: pd.DataFrame, check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBELINE_HASH_KEY", KEY)
    people["date_of_birth"] = pd.Timestamp("1970-01-01") + pd.to_timedelta(people.index, "D")
    with pytest.raises(
        UserError, match=f"'date_of_birth' looks like dates of birth, .* personal_data={handling} would"
    ):
        check(people, target="late", personal_data=handling, time_column="date_of_birth")


def test_a_schema_that_says_a_column_is_none_of_a_persons_is_believed(
    people: pd.DataFrame, check: Callable[..., Any], schema_file: Callable[..., str]
) -> None:
    schema = check(people, target="late").schema
    for name in ("mail", "surname"):
        schema["columns"][name]["personal"] = False
    result = check(people, target="late", personal_data="drop", schema_uri=schema_file(schema))
    assert list(result.valid.columns) == list(people.columns)


def test_an_unknown_handling_is_refused(people: pd.DataFrame, check: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="personal_data is 'mask'; expected one of: ignore, warn, refuse, drop, hash"):
        check(people, target="late", personal_data="mask")
