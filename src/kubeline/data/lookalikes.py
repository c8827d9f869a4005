"""Text that looks like numbers or times of a kind that is not read: reported, for a model takes it for categories."""

import re
from collections.abc import Callable, Sequence

from kubeline.data.notation import COMMA, POINT, TIMES
from kubeline.masking import form_of

_MAX = 0.8  # from this share of the different values on, a column looks like numbers or times
_UNITS = 3  # a column of numbers bears no more of them: 12A, 3B and 7C are seats

_N = r"(?:0|[1-9]\d{0,2}(?:[.,'’\s]\d{3})+|[1-9]\d*)(?:[.,]\d+)?"
_LETTER = r"[^\W\d_]"
_CURRENCY = (
    r"(?:[A-Z]{0,3}[$€£¥₹₩₽₿฿₺₴₫₪₱¢]|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|RUB|BRL|MXN|CAD|AUD|NZD|"
    r"SGD|HKD|KRW|THB|IDR|ZAR|ILS|AED|SAR|kr\.?|Rs\.?|Fr\.?|zł|Kč|Ft|RM|Rp)"
)
_NUMBERS = [
    rf"[-+−–]?\s?{_N}|\({_N}\)|{_N}-",  # signs before and behind, and the parentheses of accounting
    rf"\(?[-+−]?{_CURRENCY}\s?[-+−]?{_N}\)?",
    r"-?\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|-?\d{1,3}(?:[_\u2009]\d{3})+(?:[.,]\d+)?",  # lakh, underscores, thin spaces
    rf"-?{_N}[eEdD][-+]?\d+",
    r"(?=[^\x00-\x7f])\d+(?:[.,٫]\d+)?",  # digits of other scripts
]
_WITH_UNIT = rf"[-+−]?{_N}\s?(%|‰|°|[°µ]?{_LETTER}{{1,8}}[²³]?(?:/{_LETTER}{{1,8}}[²³]?)?)"

_WORD = rf"{_LETTER}{{3,12}}\.?"
_ZONE = r"(?:\s?(?:[Zz]|[A-Z]{3,4}|[+-]\d\d(?::?\d\d)?))?"
_CLOCK = r"\d{1,2}[:h]\d\d(?:[:.]\d\d(?:[.,]\d{1,12})?)?(?:\s?[AaPp]\.?[Mm]\.?)?"
_MONTH = r"(?:(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)"
_DATES = [
    r"\d{1,2}([/.-])\d{1,2}\1(?:\d{2}|\d{4})",
    r"\d{4}[/.-]\d{1,2}[/.-]\d{1,2}",
    rf"(?:{_WORD},?\s)?\d{{1,2}}(?:\.|st|nd|rd|th)?[\s/-](?:of\s|de\s)?{_WORD},?[\s/-](?:de\s)?(?:\d{{4}}|\d\d)",
    rf"(?:{_WORD},?\s)?{_WORD}\s\d{{1,2}}(?:st|nd|rd|th)?,?\s\d{{4}}",
]
_AT = r"(?:[Tt\s,:]|\sat\s)\s?"
_TIMES = [
    *(rf"(?:{date})(?:{_AT}(?:{_CLOCK}|\d{{1,2}}){_ZONE})?".replace(r"\1", f"(?P={mark})").replace("([/.-])", group)
      for date, mark, group in ((each, f"m{n}", f"(?P<m{n}>[/.-])") for n, each in enumerate(_DATES))),
    rf"{_WORD}\s{_WORD}\s+\d{{1,2}}\s{_CLOCK}{_ZONE}\s\d{{4}}",  # of the C library
    rf"\d{{8}}T?\s?\d{{4,6}}(?:[.]\d+)?{_ZONE}",
]  # fmt: skip
_MONTHS = rf"\d{{4}}[-/.](?:0?[1-9]|1[0-2])|(?:0?[1-9]|1[0-2])/\d{{4}}|{_MONTH}[-\s]\d{{2,4}}|\d{{2,4}}[-\s]{_MONTH}"
_PERIODS = r"\d{4}[-\s]?[QW]\d{1,2}(?:-\d)?|Q[1-4][-/\s]\d{4}"
_LENGTHS = rf"{_CLOCK}|-?\d+\sdays?,?(?:\s\+?{_CLOCK}(?:\.\d+)?)?|P(?=[\dT])(?:\d+[YMWD])*(?:T(?:[\d.]+[HMS])+)?"


def warning_about(name: str, values: Sequence[str]) -> str:
    """The warning about a text column by some of its values; empty where they look like text.

    Whole numbers alone are no reason for a word: typed files hold codes as text for good reason.

    Args:
        name: of the column.
        values: that are not missing.
    """
    different = sorted({value.strip() for value in values})  # tabs too
    if not different or 2 * sum(value.isascii() and value.isdigit() for value in different) > len(different):
        return ""
    for form, what, advice in _FORMS:
        if form(different):
            how = f"{advice}, or ".replace("{name}", name) if advice else ""
            return (
                f"column '{name}' looks like {what} ({form_of(different[0])}) and is kept as text, each value a "
                f'category: {how}say that it is text by types={{"{name}": "text"}}'
            )
    return ""


def _matching(*patterns: str) -> Callable[[Sequence[str]], bool]:
    whole = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return lambda values: sum(bool(whole.fullmatch(value)) for value in values) >= _MAX * len(values)


def _units(values: Sequence[str]) -> bool:
    """Whether most are numbers that bear one of few units."""
    found = [match.group(1) for match in (_UNIT.fullmatch(value) for value in values) if match]
    return len(values) > 1 and len(found) >= _MAX * len(values) and len(set(found)) <= _UNITS


_UNIT = re.compile(_WITH_UNIT)
_FORMS: Sequence[tuple[Callable[[Sequence[str]], bool], str, str]] = (
    (
        _matching(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?"),
        "times",
        'read it by types={"{name}": "time"}',
    ),
    (
        _matching(*(form.pattern for form in TIMES), *_TIMES),
        "times",
        'give types its format, such as {"{name}": "%d/%m/%y %H:%M"}, write 2013-10-01 17:05:00',
    ),
    (_matching(_MONTHS), "months", 'give types its format, such as {"{name}": "%Y-%m"}'),
    (_matching(_PERIODS), "times", "write the first day of each, as 2013-10-01"),
    (_matching(_LENGTHS), "times of day or lengths of time", "write them as numbers, such as minutes"),
    (_matching(r"-?\d+\.\d*|-?\.\d+|-?[\d.]+[eE][-+]?\d+", POINT.pattern, COMMA.pattern), "numbers",
     'read it by types={"{name}": "number"}'),
    (_matching(*_NUMBERS), "numbers", "write the digits alone, as programs do"),
    (_units, "numbers with a unit", "write the numbers alone"),
)  # fmt: skip
