"""Numbers and times as people and spreadsheets write them, and the SQL that reads them."""

import re
from dataclasses import dataclass

from kubeline.data.engine import literal
from kubeline.errors import UserError

_THOUSANDS = (",", ".", " ", "'")
_SPACES = "\u00a0\u202f"  # a space that keeps a number on one line
_CURRENCY = "[€$£¥₹₩₽]|EUR|USD|GBP|CHF|JPY|CNY|INR"
_SIGN = f"(?:-?(?:(?:{_CURRENCY})[ {_SPACES}]?)?|(?:{_CURRENCY})[ {_SPACES}]?-)"

# Written for a missing value in columns that are not text; in text, NA may well be Namibia.
MISSING = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT"),
    *("NULL", "null", "None", "\\N", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)  # what pandas takes for it, and databases write


def missing_words() -> str:
    """The words for a missing value as an SQL list."""
    return ", ".join(literal(word) for word in MISSING)


@dataclass(frozen=True)
class Notation:
    """How numbers are written.

    Attributes:
        decimal: what stands before the fraction.
        thousands: what may stand between groups of three digits; one number uses one of them.
        is_plain: whether it is the notation of programs, without currencies and per cent signs.
    """

    decimal: str = "."
    thousands: str = ""
    is_plain: bool = False

    @property
    def pattern(self) -> str:
        """A regular expression of a whole value, for RE2 and Python alike."""
        marks = [re.escape(mark) for mark in self.thousands]
        marks += [f"[{_SPACES}]"] if " " in self.thousands else []
        marks += ["\u2019"] if "'" in self.thousands else []
        groups = "".join(f"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+|" for mark in marks)
        fraction = f"(?:{re.escape(self.decimal)}[0-9]+)?"
        return f"{_SIGN}(?:{groups}0|[1-9][0-9]*){fraction}(?:[ {_SPACES}]?(?:{_CURRENCY}|%))?"

    def plain(self, value: str) -> str:
        """SQL of a value of this notation as programs write it, without its currency or per cent sign."""
        if self.is_plain:
            return value
        digits = f"regexp_replace({value}, {literal(f'[^0-9{self.decimal}-]')}, '', 'g')"
        return f"replace({digits}, {literal(self.decimal)}, '.')"

    def only(self, value: str) -> str:
        """SQL of any value: in plain form where it is of this notation, and spoilt where it is a number of another."""
        if self.is_plain:
            return value
        other = f"AND contains({value}, '.')" if self.decimal == "," else "AND false"
        return (
            f"CASE WHEN {self.fits(value)} THEN {self.plain(value)} "
            f"WHEN regexp_full_match({value}, '[-+0-9.eE]+') {other} THEN {value} || '?' ELSE {value} END"
        )

    def fits(self, value: str) -> str:
        """SQL of whether a value is a number of this notation."""
        return f"regexp_full_match({value}, {literal(self.pattern)})"


PLAIN = Notation(is_plain=True)
COMMA = Notation(",", ". '")
POINT = Notation(".", ", '")


def unit(value: str) -> str:
    """SQL of what a number bears besides its digits: a currency, a per cent sign, or nothing."""
    return f"regexp_replace({value}, {literal(f'[-0-9.,’{_SPACES} ' + chr(39) + ']')}, '', 'g')"


def notation_of(decimal: str, thousands: str) -> Notation:
    """The notation that the parameters `decimal` and `thousands` ask for.

    Raises:
        UserError: when one is no such mark, or both are the same.
    """
    if not decimal and not thousands:
        return PLAIN
    if decimal not in ("", ".", ","):
        raise UserError(f"decimal is '{decimal}'; expected '.' or ','")
    if thousands not in ("", *_THOUSANDS):
        raise UserError(f"thousands is '{thousands}'; expected one of ',', '.', ' ' (a space) and \"'\"")
    decimal = decimal or ("," if thousands == "." else ".")
    if decimal == thousands:
        raise UserError(f"decimal and thousands are both '{decimal}'; a number cannot be read so, so change one")
    return Notation(decimal, thousands)


_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_CLOCK = r"(?: \d{1,2}:\d\d(?::\d\d(?:[.]\d{1,6})?)?(?: [AaPp][Mm])?)?"
_NAMED = r"[A-Za-z]{3,9}"


@dataclass(frozen=True)
class TimeNotation:
    """How times are written: the formats of ``strptime`` that are tried in turn.

    Attributes:
        name: for people.
        formats: of the date and the clock.
        pattern: what a whole value looks like; empty for a format that a user gave.
    """

    name: str
    formats: tuple[str, ...]
    pattern: str = ""

    @property
    def kind(self) -> str:
        """The DuckDB type that it gives."""
        return "TIMESTAMP WITH TIME ZONE" if "%z" in self.formats[0] else "TIMESTAMP"

    def parsed(self, value: str, strict: bool = True) -> str:
        """SQL of a value as a time; one that is none is an error, or NULL when it is not `strict`."""
        if self.pattern:  # dates with one kind of separator
            value = f"regexp_replace({value}, '^([0-9]+)[/.-]([0-9]+)[/.-]', '\\1/\\2/')"
        formats = ", ".join(map(literal, self.formats))
        return f"{'' if strict else 'try_'}strptime({value}, [{formats}])"


def _dates(name: str, date: str, pattern: str) -> TimeNotation:
    return TimeNotation(name, tuple(date + clock for clock in _CLOCKS), pattern + _CLOCK)


def _numbered(first: str, second: str, third: str) -> str:
    return "(?:" + "|".join(f"{first}{mark}{second}{mark}{third}" for mark in ("/", "[.]", "-")) + ")"


def _of_two_digits(first: str, second: str, third: str) -> str:
    """Of dates whose year has two digits, with all digits but where slashes part them: 1.2.10 is a version."""
    return rf"(?:{first}/{second}/{third}|{_TWO}[.]{_TWO}[.]{_TWO}|{_TWO}-{_TWO}-{_TWO})"


_SHORT, _YEAR, _TWO = r"\d{1,2}", r"\d{4}", r"\d{2}"
TIMES = (
    _dates("day first", "%d/%m/%Y", _numbered(_SHORT, _SHORT, _YEAR)),
    _dates("month first", "%m/%d/%Y", _numbered(_SHORT, _SHORT, _YEAR)),
    _dates("year first", "%Y/%m/%d", _numbered(_YEAR, _SHORT, _SHORT)),
    _dates("day first", "%d/%m/%y", _of_two_digits(_SHORT, _SHORT, _TWO)),
    _dates("month first", "%m/%d/%y", _of_two_digits(_SHORT, _SHORT, _TWO)),
    _dates("year first", "%y/%m/%d", _of_two_digits(_TWO, _SHORT, _SHORT)),
    _dates("day and name of the month", "%d %b %Y", rf"{_SHORT} {_NAMED} {_YEAR}"),
    _dates("day and name of the month", "%d-%b-%Y", rf"{_SHORT}-{_NAMED}-{_YEAR}"),
    _dates("day and full name of the month", "%d %B %Y", rf"{_SHORT} {_NAMED} {_YEAR}"),
    _dates("name of the month and day", "%b %d, %Y", rf"{_NAMED} {_SHORT}, {_YEAR}"),
    _dates("full name of the month and day", "%B %d, %Y", rf"{_NAMED} {_SHORT}, {_YEAR}"),
)


def time_format(text: str) -> TimeNotation:
    """The notation of one format of ``strptime`` that a user gave.

    Raises:
        UserError: when it has no date in it.
    """
    if not re.search("%[dDjyYmbBxUVwWuGcs]", text):
        raise UserError(f"types has '{text}', which is no format of a date; expected such as %d/%m/%Y %H:%M")
    return TimeNotation(text, (text,))
