"""Our distributions are SciPy's, in the middle and in the tails."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from kubeline import distributions as ours

ROUNDS = 300
Drawn = Callable[[np.random.Generator], tuple[Any, ...]]


def size(random: np.random.Generator, least: float = 0.0, most: float = 5.0) -> float:
    return float(10 ** random.uniform(least, most))


def mean_of(random: np.random.Generator, a: float, b: float) -> float:
    """About where the distribution of (a, b) is, six deviations around its middle."""
    middle, spread = a / (a + b), math.sqrt(a * b / (a + b) ** 3)
    return float(np.clip(middle + random.uniform(-6, 6) * spread, 1e-9, 1 - 1e-9))


def beta(random: np.random.Generator) -> tuple[float, float, float]:
    a, b = size(random, -0.3), size(random, -0.3)
    return a, b, mean_of(random, a, b)


def chi_squared(random: np.random.Generator) -> tuple[float, float]:
    degrees = size(random, 0, 3)
    return degrees, max(degrees + random.uniform(-6, 8) * math.sqrt(2 * degrees), 1e-3)


def noncentral(random: np.random.Generator) -> tuple[float, float, float]:
    degrees, moved = size(random, 0, 2), size(random, -2, 4)
    deviation = math.sqrt(2 * degrees + 4 * moved)
    return degrees, moved, max(degrees + moved + random.uniform(-4, 4) * deviation, 1e-3)


def student(random: np.random.Generator) -> tuple[float, float]:
    return size(random, 0, 9), random.uniform(-8, 8)


def draws(random: np.random.Generator) -> tuple[int, int, int, int]:
    total = int(size(random, 1, 5))
    marked, drawn = int(random.integers(1, total)), int(random.integers(1, total))
    deviation = math.sqrt(drawn * marked / total * (1 - marked / total) + 1)
    return max(int(drawn * marked / total + random.uniform(-5, 6) * deviation), 0), total, marked, drawn


PAIRS: dict[str, tuple[Callable[..., float], Callable[..., Any], Drawn]] = {
    "normal": (ours.normal_below, special.ndtr, lambda random: (random.uniform(-30, 8),)),
    "normal quantile": (ours.normal_quantile, special.ndtri, lambda random: (random.uniform(1e-6, 1 - 1e-6),)),
    "beta": (ours.beta_below, special.betainc, beta),
    "chi-squared": (ours.chi_squared_above, special.chdtrc, chi_squared),
    "noncentral chi-squared": (ours.noncentral_chi_squared_above, lambda k, m, x: stats.ncx2.sf(x, k, m), noncentral),
    "F": (ours.f_above, special.fdtrc, lambda random: (size(random), size(random), random.uniform(0.2, 3))),
    "Student": (ours.student_below, special.stdtr, student),
    "Student's quantile": (
        ours.student_quantile,
        special.stdtrit,
        lambda random: (size(random, 0, 9), random.uniform(0.6, 0.999)),
    ),
    "hypergeometric": (
        ours.hypergeometric_at_least,
        lambda count, *counts: stats.hypergeom.sf(count - 1, *counts),
        draws,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_distribution_is_that_of_scipy(name: str) -> None:
    mine, theirs, drawn = PAIRS[name]
    random = np.random.default_rng(0)
    for _ in range(ROUNDS):
        given = drawn(random)
        assert mine(*given) == pytest.approx(float(theirs(*given)), rel=2e-9, abs=1e-14), given


def test_of_a_hundred_million_requests_six_digits_are_right() -> None:
    given = (50_300, 50_000_000 - 50_300 + 1, 0.001)
    assert ours.beta_below(*given) == pytest.approx(float(special.betainc(*given)), rel=1e-6)
    counts = (5_100, 10_000_000, 10_000, 5_000_000)
    assert ours.hypergeometric_at_least(*counts) == pytest.approx(stats.hypergeom.sf(5_099, *counts[1:]), rel=1e-6)


def large(random: np.random.Generator) -> tuple[float, float, float]:
    a, b = size(random, 7.1, 11), size(random, 7.1, 11)
    return a, b, mean_of(random, a, b)


def many_draws(random: np.random.Generator) -> tuple[int, int, int, int]:
    total = int(size(random, 9, 10))
    marked, drawn = (int(total * random.uniform(0.3, 0.7)) for _ in range(2))
    deviation = math.sqrt(drawn * marked / total * (1 - marked / total) * (1 - drawn / total))
    return int(drawn * marked / total + random.uniform(-4, 4) * deviation), total, marked, drawn


EXPANDED: dict[str, tuple[Callable[..., float], Callable[..., Any], Drawn]] = {
    "beta": (ours.beta_below, special.betainc, large),
    "chi-squared": (
        ours.chi_squared_above,
        special.chdtrc,
        lambda random: (2e9, 2e9 + random.uniform(-5, 5) * math.sqrt(4e9)),
    ),
    "noncentral chi-squared": (
        ours.noncentral_chi_squared_above,
        lambda k, m, x: stats.ncx2.sf(x, k, m),
        lambda random: (20.0, 1e8, 1e8 + random.uniform(-4, 4) * math.sqrt(4e8)),
    ),
    "hypergeometric": (
        ours.hypergeometric_at_least,
        lambda count, *counts: stats.hypergeom.sf(count - 1, *counts),
        many_draws,
    ),
}


@pytest.mark.parametrize("name", EXPANDED)
def test_of_larger_parameters_an_expansion_is_that_of_scipy(name: str) -> None:
    mine, theirs, drawn = EXPANDED[name]
    random = np.random.default_rng(0)
    for _ in range(30):
        given = drawn(random)
        assert mine(*given) == pytest.approx(float(theirs(*given)), rel=2e-5, abs=1e-14), given
    middle = ours.beta_below(3e7, 3e7, 0.5), ours.chi_squared_above(1e9, 1e9)
    assert middle == pytest.approx((0.5, special.chdtrc(1e9, 1e9)), rel=1e-9)


def test_counts_that_no_service_has_are_judged_at_once_all_the_same() -> None:
    assert ours.beta_below(5, 2**53, 6e-16) == pytest.approx(float(special.betainc(5, 2**53, 6e-16)), rel=1e-6)
    assert ours.hypergeometric_at_least(5, 2**54, 8, 2**53) == pytest.approx(stats.binom.sf(4, 8, 0.5), rel=1e-6)
    assert ours.noncentral_chi_squared_above(3, 2.0**50, 2.0**50) == pytest.approx(0.5, rel=1e-6)


def test_the_ends_are_certain() -> None:
    assert (ours.beta_below(2, 3, 0), ours.beta_below(2, 3, 1)) == (0.0, 1.0)
    assert (ours.gamma_above(2, 0), ours.f_above(2, 3, 0)) == (1.0, 1.0)
    assert ours.noncentral_chi_squared_above(3, 0, 2.0) == ours.chi_squared_above(3, 2.0)
    assert [ours.hypergeometric_at_least(count, 10, 3, 5) for count in (0, 4)] == [1.0, 0.0]


def test_the_image_that_judges_rollouts_is_without_scipy() -> None:
    lock = (Path(__file__).parents[1] / "images" / "deploy.lock").read_text(encoding="utf-8")
    assert "numpy==" in lock
    assert "scipy==" not in lock
