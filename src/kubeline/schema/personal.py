"""Columns that look as if they held personal data, by their names and by a sample of their values.

A guess, for a reviewer to decide on: what identifies people in free text, or by several columns together, is not found.
Numbers with check digits are read by python-stdnum.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Literal

import pandas as pd

Handling = Literal["ignore", "warn", "refuse", "drop", "hash"]

SHARE = 0.8  # of the sampled values that must look alike: of numbers at random, a tenth has the right check digit
FEWEST, SAMPLED, FIRST = 5, 200, 20  # distinct values: needed, sampled, and sampled before a column is given up

_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_AREA = r"(\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"
_TELEPHONE = re.compile(rf"((\+|00)\d[\d\s()./-]{{6,18}}\d|{_AREA})( ?(x|ext\.?) ?\d+)?")
_CARD = re.compile(r"[2-6]\d{3}([ -]?\d{4}){2}([ -]?\d{1,4}){0,2}|3\d{3}[ -]?\d{6}[ -]?\d{5}")
_GROUPED = re.compile(r"(?=.*\d)[\dA-Z]+([-./ ][\dA-Z]+)*", re.IGNORECASE)

# What the last words of a name say; the first that fits is taken.
_NAMES: dict[str, str] = {
    r"e ?mail( address)?|mail address": "e-mail addresses",
    r"(tele)?phone( number| no)?|mobile( number| phone)?|cell ?phone|fax( number)?": "telephone numbers",
    r"(first|last|middle|given|family|full|maiden|sur|nick|customer|patient|employee|contact|user|cardholder) ?name": (
        "names of people"
    ),
    r"(date of |year of )?birth( ?(date|day|year))?|dob": "dates of birth",
    r"street( address| name)?|(home|postal|mailing|billing|shipping) address": "addresses",
    r"ssn|(social security|national id|passport|drivers? licen[cs]e)( number| no)?|tax id": (
        "numbers of identity documents"
    ),
    r"iban|account number|(credit )?card number|cc number": "account numbers",
    r"ip( address)?": "IP addresses",
}
_NUMBERS = {"telephone numbers", "numbers of identity documents", "account numbers"}


def personal_columns(sample: pd.DataFrame, said: Mapping[str, bool]) -> dict[str, str]:
    """The columns that look as if they held personal data, each with what it looks like.

    Args:
        sample: Rows of the table.
        said: Of columns that someone has decided on, whether they hold such data.
    """
    found = {}
    for name in sample.columns:
        kind = _kind(str(name), sample[name]) if said.get(name, True) else ""
        kind = kind or ("personal data" if said.get(name) else "")
        if kind:
            found[str(name)] = kind
    return found


def _kind(name: str, values: pd.Series) -> str:
    """What a column looks like; empty for nothing of the kind."""
    present = values.dropna()
    if pd.api.types.is_bool_dtype(present) or not len(present):
        return ""
    text = not (pd.api.types.is_numeric_dtype(present) or pd.api.types.is_datetime64_any_dtype(present))
    whole = pd.api.types.is_integer_dtype(present)
    if text or whole:
        words = [str(value).strip() for value in present.drop_duplicates().head(SAMPLED)]
        for kind, fits in _VALUES.items():
            if _mostly(words, fits):
                return kind
    named = _by_name(name)
    fitting = text or (whole and named in _NUMBERS) or named == "dates of birth"
    return named if fitting else ""


def _mostly(words: list[str], fits: Callable[[str], bool]) -> bool:
    if len(words) < FEWEST or sum(map(fits, words[:FIRST])) < SHARE / 2 * len(words[:FIRST]):
        return False
    return sum(map(fits, words)) >= SHARE * len(words)


def _by_name(name: str) -> str:
    """``customerEmail`` and ``customer_email`` are of the same words."""
    split = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = " ".join(re.findall(r"[a-z]+", split.lower()))
    for pattern, kind in _NAMES.items():
        if re.search(rf"(?:^| )(?:{pattern})$", words):
            return kind
    return ""


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return "." in word or ":" in word


def _is_card(word: str) -> bool:
    from stdnum import luhn

    return bool(_CARD.fullmatch(word)) and luhn.is_valid(re.sub(r"[ -]", "", word))


def _is_account(word: str) -> bool:
    from stdnum import iban

    return word[:2].isalpha() and iban.is_valid(word)


def _is_identity(word: str) -> bool:
    """A national identity number, written as there."""
    from stdnum.br import cpf
    from stdnum.de import idnr
    from stdnum.es import dni, nie
    from stdnum.fi import hetu
    from stdnum.fr import nir
    from stdnum.it import codicefiscale
    from stdnum.pl import pesel
    from stdnum.se import personnummer
    from stdnum.us import ssn

    if not _GROUPED.fullmatch(word) or len(word) < 9:
        return False
    if ssn.is_valid(word) and "-" in word:  # without its lines it has nothing to know it by
        return True
    return any(number.is_valid(word) for number in (cpf, codicefiscale, dni, hetu, idnr, nie, nir, personnummer, pesel))


_VALUES: Mapping[str, Callable[[str], bool]] = {
    "e-mail addresses": lambda word: bool(_MAIL.fullmatch(word)),
    "IP addresses": _is_address,
    "payment card numbers": _is_card,
    "account numbers": _is_account,
    "telephone numbers": lambda word: bool(_TELEPHONE.fullmatch(word)),
    "numbers of identity documents": _is_identity,
}
