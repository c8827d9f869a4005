"""Parameters and groups of settings: what is wrong is one sentence, which shows no password."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from kubeline.errors import UserError
from kubeline.settings import Parameters, Settings


class Brewing(Parameters):
    minutes: float = Field(default=4.0, gt=0, description="more than 0")
    cups: int = Field(default=1, ge=1, description="a whole number from 1")
    kind: str = ""


class Shop(Settings):
    group = "shop"

    place: str = Field(pattern="^https://", description="an address of https://")
    open: bool = Field(default=True, description="true or false")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"minutes": 0.0}, "minutes is 0; expected more than 0"),
        ({"minutes": float("nan")}, "minutes is nan; expected more than 0"),
        ({"cups": True}, "cups is True; expected a whole number from 1"),
        ({"cups": "2"}, "cups is '2'; expected a whole number from 1"),
        ({"kind": 7}, "kind is 7; expected a valid string"),
        ({"kind": b"x", "cups": 0}, "cups is 0; expected a whole number from 1"),
    ],
)
def test_a_parameter_that_is_wrong_is_named_with_what_is_expected(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        Brewing(**given)
    assert str(refused.value) == sentence
    assert Brewing(minutes=3).minutes == 3


def test_a_parameter_that_there_is_not_is_an_error_of_the_code() -> None:
    given: dict[str, Any] = {"sugar": 2}
    with pytest.raises(ValidationError, match="sugar"):
        Brewing(**given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"place": "ftp://me:secret@host/"}, "shop has place 'ftp://host/'; expected an address of https://"),
        ({"place": "https://host", "opened": 1}, "shop has 'opened'; there are: place, open"),
        ({"place": "https://host", "open": "no"}, "shop has open 'no'; expected true or false"),
    ],
)
def test_a_group_is_refused_by_its_name_without_the_passwords_in_it(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        Shop.read(given)
    assert str(refused.value) == sentence
    assert Shop.read({}) is None
