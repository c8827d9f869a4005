"""Reports are one file, need nothing else, and escape what they show."""

import re
from pathlib import Path

import pytest

from kubeline import reports


@pytest.fixture
def page(tmp_path: Path) -> str:
    import matplotlib.pyplot as plt

    drawing, axes = plt.subplots()
    axes.plot([0, 1], [0, 1])
    axes.set_title("a < b & c")
    report = reports.Report("<Title>", "sub & title")
    report.add(
        "Section <1>",
        reports.text("words <b>not bold</b>"),
        reports.verdict("hold", "bad", ["5 < 6"]),
        reports.facts({"rows": 12345, "name": "<x>"}),
        reports.table(["a<", "b"], [["<i>", 0.123456]], note="n & m"),
        reports.figure(drawing, 'a "line"'),
    )
    report.write(tmp_path / "report")
    return (tmp_path / "report").read_text(encoding="utf-8")


def test_everything_given_is_escaped(page: str) -> None:
    for raw in ("<Title>", "<b>not", "<x>", "<i>", "Section <1>", 'aria-label="a "line""'):
        assert raw not in page
    assert "words &lt;b&gt;not bold&lt;/b&gt;" in page


def test_a_page_needs_no_network_and_no_script(page: str) -> None:
    assert "<script" not in page
    assert "src=" not in page
    assert 'href="http' not in page


def test_figures_are_vectors_with_a_text_alternative(page: str) -> None:
    assert "<svg" in page
    assert '<svg role="img" aria-label="a &#34;line&#34;"' in page
    assert "<figure>" in page  # its caption is read as well
    assert "a &lt; b &amp; c" in page


def test_a_page_is_printed_in_its_light_colours(page: str) -> None:
    assert re.findall(r"@media [^{]*prefers-color-scheme: dark", page) == [
        "@media screen and (prefers-color-scheme: dark"
    ]


def test_numbers_are_readable(page: str) -> None:
    assert "12,345" in page
    assert ">0.1235<" in page


def test_a_table_of_thousands_of_rows_shows_the_first_and_says_of_how_many() -> None:
    shown = reports.table(["name", "x"], [(f"column <{number}>", number) for number in range(2_000)], "Sorted.")
    assert shown.count("<tr>") == 1 + 500
    assert "The first 500 of 2,000 rows. Sorted." in shown
    assert "The first" not in reports.table(["x"], [[1]] * 500)


def test_a_table_of_long_rows_stays_below_a_megabyte_and_says_how_many_it_shows() -> None:
    shown = reports.table(["a"], [["x" * 10_000]] * 400)
    assert 600_000 < len(shown) < 800_000
    assert "The first 70 of 400 rows." in shown
