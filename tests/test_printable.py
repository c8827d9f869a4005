"""Numbers and words in the reader's form."""

import pytest
from markdown_it import MarkdownIt

from kubeline.evaluation.bootstrap import Interval
from kubeline.local.result import DecidingFigure
from kubeline.printable import markdown, rounded
from kubeline.reports import table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (-0.0, "0"),
        (12.345, "12.35"),
        (206_855.4, "206,855"),
        (-1234.6, "-1,235"),
        (1.25e-7, "1.25e-7"),
        (3e20, "3e20"),
        (float("nan"), "nan"),
    ],
)
def test_a_number_is_written_as_a_reader_writes_it(value: float, shown: str) -> None:
    assert rounded(value) == shown
    assert f">{shown}</td>" in table(["a"], [[value]])


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (Interval(-0.0, -0.0, 0.0), "0 [0, 0]"),
        (Interval(206_855.4, 200_000.4, 213_000.4), "206,855 [200,000, 213,000]"),
        (Interval(-0.00001, -0.01, 0.01), "0.000 [-0.010, 0.010]"),
        (DecidingFigure("rmse", 206_855.4, 199_000.2, -0.0), "rmse 206,855 [199,000, 0]"),
    ],
)
def test_a_figure_with_its_interval_too(figure: Interval | DecidingFigure, shown: str) -> None:
    assert str(figure) == shown


@pytest.mark.parametrize(
    "words",
    ["roc_auc 0.9957 [0.9844, 1]; registered as models:/cancer/1", "p < 0.001".replace("<", "="), "-0.01", "2013-10-01",
     "3 trials, 0.5 % (of 12)", "a & b", "is_late!", "C++ - x # 1"],
)  # fmt: skip
def test_markdown_leaves_words_as_they_are_where_nothing_in_them_is_markup(words: str) -> None:
    assert markdown(words) == words


@pytest.mark.parametrize(
    "words",
    ["# heading", "- item", "+ item", "* item", "1. item", "12) item", "> quoted", "=====", "---", "***", "___", "~~~",
     "```", ":::", "% comment", "+++", "[x] done", "[a]: https://example.com", "[a](b)", "[a][b]", "![a](b)", "[^1]",
     "*a*", "_a_", "__a__", "a__b__c", "~~a~~", "`a`", "a | b", "<b>", "&amp;", "&#60;", "\\*", "$x$",
     "https://example.com", "www.example.com", "a@example.com", "<https://example.com>"],
)  # fmt: skip
def test_markdown_shows_every_markup_as_words(words: str) -> None:
    renderer = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable(["table", "strikethrough"])
    shown = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert renderer.render(markdown(words)) == f"<p>{shown}</p>\n"
    assert renderer.render(f"[a]: https://example.com\n\n{markdown(words)}") == f"<p>{shown}</p>\n"
    assert "www.e" not in markdown(words)
    assert "https://" not in markdown(words)
