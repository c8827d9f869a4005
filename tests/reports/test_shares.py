"""Two parts of a whole over time, drawn by hand: steps where the share changed, and words that are no markup."""

import re
import subprocess
import sys

import pytest

from kubeline.reports import Report
from kubeline.reports.shares import figure_of_shares

LABELS = ("candidate", "stable")


def steps(svg: str) -> list[tuple[float, float]]:
    """The corners of the lower part as (share of the width, percent), from the page's coordinates."""
    drawn = re.search(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    path = re.search(r'<path d="(M[^"]*)Z" style="fill', svg)
    assert drawn
    assert path
    left, top, width, height = map(float, drawn.groups())
    numbers = [(kind, float(value)) for kind, value in re.findall(r"([HV])([\d.]+)", path[1])]
    found, x = [], left
    for kind, value in numbers[:-2]:  # the last two close the area along the right and the bottom
        x = value if kind == "H" else x
        if kind == "V":
            found.append((round((x - left) / width, 3), round(100 * (1 - (value - top) / height), 1)))
    assert numbers[-2:] == [("H", left + width), ("V", top + height)]
    return found


def test_a_share_holds_from_its_time_to_the_next_one_s() -> None:
    points = [(1000.0, 0.0), (1025.0, 10.0), (1050.0, 60.0), (1100.0, 100.0)]
    svg = figure_of_shares(points, LABELS, "Traffic")
    assert steps(svg) == [(0.0, 0.0), (0.25, 10.0), (0.5, 60.0), (1.0, 100.0)]


@pytest.mark.parametrize(
    ("span", "ticks"),
    [
        (0.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0.02, ["0", "0.005", "0.01", "0.015", "0.02"]),
        (3.0, ["0", "0.5", "1", "1.5", "2", "2.5", "3"]),
        (123.0, ["0", "20", "40", "60", "80", "100", "120"]),
        (86_400.0, ["0", "20000", "40000", "60000", "80000"]),
    ],
)
def test_seconds_are_shown_in_a_few_round_numbers(span: float, ticks: list[str]) -> None:
    svg = figure_of_shares([(5.0, 0.0), (5.0 + span, 100.0)], LABELS, "Traffic")
    shown = re.findall(r'text-anchor="middle" style="fill:var\(--soft\)">([^<]*)<', svg)
    assert shown == ticks


def test_what_is_drawn_has_its_words_as_text_and_the_colours_of_the_page() -> None:
    hostile = '"><script>alert(1)</script>'
    page = Report("Rollout")
    page.add("Traffic", figure_of_shares([(0.0, 0.0), (1.0, 100.0)], (hostile, "stable"), hostile))
    html = page.html()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3  # legend, text alternative, caption
    assert {"var(--model)", "var(--champion)"} <= set(re.findall(r"var\(--\w+\)", html))


def test_the_report_of_a_rollout_shows_its_traffic_without_the_library_that_draws() -> None:
    code = (
        "import sys\n"
        "from kubeline.rollout.rollout_report import page_of\n"
        "from kubeline.rollout.status import Lease, RolloutStatus\n"
        "status = RolloutStatus(rollout_id='r', name='flights', namespace='models', lease=Lease('me', 0.0))\n"
        "html = page_of(status.with_event(1.0, 'begun', 0).with_event(9.0, 'given 5 %', 5)).html()\n"
        "print('seconds since the beginning' in html, {'matplotlib', 'scipy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"
