"""The words of messages."""

import pytest

from kubeline.errors import counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (1, "slice", "1 slice"),
        (0, "slice", "0 slices"),
        (2000, "row", "2,000 rows"),
        (2, "class", "2 classes"),
        (1, "category", "1 category"),
        (3, "category", "3 categories"),
    ],
)
def test_one_of_a_kind_has_no_plural(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
