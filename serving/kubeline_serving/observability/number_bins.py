"""Bins of predicted numbers that two models have in common, whatever each of them predicts.

Percentiles of a model's own predictions make good bins for it, and no other model has one of them. So the bounds come
from one tree that is the same for all: the number line is halved at 0, and each half, from a power of two inwards, into
halves of halves (a dyadic partition, as of a quadtree). Each model halves where its own predictions are, until a bin
holds few of them. Two models' bounds are then cuts of one tree: in each place the coarser of the two is common to both,
and what separates two distributions is a bound of both. A difference of 1 in 3,000,000 is seen as well as one of 1e-9.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

_SHARE = 1 / 16  # of the predictions that a bin may hold
_MAX_SPLITS = 80  # far from 0 it takes 20 to come to a millionth
_FINEST = 2.0**-50  # width of a bin, as a share of the number that it is at
_OCTAVES = 8  # beyond the predictions, on both sides, so that models which predict on other scales share bounds
_EXPONENTS = (-1000, 1000)  # of powers of two that are bounds; a float64 ends a little beyond

ANY_NUMBERS = sorted([0.0, *(sign * 4.0**power for sign in (-1, 1) for power in range(-5, 16))])
"""Where nothing is known of a model's predictions: powers of four, which are bounds of other models too."""


def number_bounds(quantiles: Sequence[float]) -> list[float]:
    """Upper bounds of the bins for a model with such predictions, rising and exact in float64.

    Args:
        quantiles: of its predictions, rising, at equal steps from the smallest to the largest.
    """
    known = [float(value) for value in quantiles]
    if len(known) < 2 or not all(map(math.isfinite, known)) or not any(known):
        return ANY_NUMBERS
    known.sort()
    bounds = {0.0}
    if known[-1] > 0:
        bounds |= _positive(known)
    if known[0] < 0:  # bins include their upper bound, so that mirrored ones differ at the bounds themselves only
        bounds |= {-bound for bound in _positive([-value for value in reversed(known)])}
    return sorted(bounds)


def _positive(quantiles: list[float]) -> set[float]:
    """Bounds above 0."""
    top = _exponent(quantiles[-1])
    leaves = [(-_mass(quantiles, 0.0, 2.0**top), 0.0, 2.0**top)]
    bounds = {2.0**top}
    heapify(leaves)
    while leaves and len(bounds) < _MAX_SPLITS:
        mass, low, high = heappop(leaves)
        middle = low + (high - low) / 2
        if -mass <= _SHARE or high - low <= _FINEST * high or _alike(quantiles, low, high):
            continue
        bounds.add(middle)
        for part in ((low, middle), (middle, high)):
            heappush(leaves, (-_mass(quantiles, *part), *part))
    bottom = math.floor(math.log2(min(bounds)))
    around = [*range(bottom - _OCTAVES, bottom), *range(top + 1, top + 1 + _OCTAVES)]
    return bounds | {2.0**power for power in around if _EXPONENTS[0] <= power <= _EXPONENTS[1]}


def _exponent(value: float) -> int:
    """Of the power of two that is not below a positive value."""
    mantissa, exponent = math.frexp(value)
    return min(max(exponent - 1 if mantissa == 0.5 else exponent, _EXPONENTS[0]), _EXPONENTS[1])


def _mass(quantiles: list[float], low: float, high: float) -> float:
    """Share of the predictions above `low` and up to `high`."""
    return _below(quantiles, high) - _below(quantiles, low)


def _below(quantiles: list[float], value: float) -> float:
    """Share of the predictions up to a value, with those between two quantiles evenly spread."""
    at = bisect_right(quantiles, value)
    if at in {0, len(quantiles)}:
        return float(at > 0)
    low, high = quantiles[at - 1], quantiles[at]
    return (at - 1 + (value - low) / (high - low)) / (len(quantiles) - 1)


def _alike(quantiles: list[float], low: float, high: float) -> bool:
    """Whether all that is known between the bounds is one number, which no halving divides."""
    first, last = bisect_right(quantiles, low), bisect_right(quantiles, high)
    return first == last or quantiles[first] == quantiles[last - 1]
