"""Pairs of bars are as long as what they stand for."""

import re
import subprocess
import sys

import pytest

from kubeline.reports import Report
from kubeline.reports.bars import figure_of_bars

LABELS = ("then", "now")


def lengths(svg: str, colour: str) -> list[float]:
    """Of the bars of one colour in pixels, without that of the legend."""
    return [float(found) for found in re.findall(rf'width="([\d.]+)" height="9" style="fill:var\(--{colour}\)"', svg)]


def test_bars_are_as_long_as_their_shares_and_the_longest_fills_the_axis() -> None:
    svg = figure_of_bars([("city: 0.31", [("Paris", 0.5, 0.1), ("Rome", 0.25, 0.0)])], LABELS, "Shares")
    assert lengths(svg, "neutral") == [130, 65]
    assert lengths(svg, "model") == [26, 0]
    assert re.findall(r">([\d.]+ %)<", svg) == ["0 %", "25 %", "50 %"]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_column_of_one_value_or_without_rows_is_drawn(share: float) -> None:
    svg = figure_of_bars([("constant: 0.00", [("7", share, share)])], LABELS, "Shares")
    assert lengths(svg, "model") == [130 * share]


def test_of_many_bars_the_longest_are_drawn_and_the_rest_is_one() -> None:
    bars = [(f"c{place}", place / 210, 0.05) for place in range(21)]
    svg = figure_of_bars([("city: 0.31", bars)], LABELS, "Shares")
    assert len(lengths(svg, "model")) == 12
    assert ">c20<" in svg
    assert ">10 more<" in svg
    assert ">c9<" not in svg


def test_what_is_drawn_has_its_words_as_text_and_the_colours_of_the_page() -> None:
    hostile = '"><script>x()</script>'
    page = Report("Drift check")
    page.add("Shifts", figure_of_bars([(hostile, [(hostile, 0.5, 0.5)])], LABELS, hostile))
    html = page.html()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 6  # title, label, three in the text alternative, caption
    assert {"var(--model)", "var(--neutral)"} <= set(re.findall(r"var\(--\w+\)", html))


def test_the_page_of_a_drift_check_needs_no_library_that_draws() -> None:
    code = "import sys, kubeline.drift.page, kubeline.reports.bars; print({'matplotlib', 'scipy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
