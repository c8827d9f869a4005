"""Distributions of statistical tests, of one number at a time and without SciPy, which is 95 MB of the image `deploy`.

Continued fractions and series of Abramowitz and Stegun (1964), Handbook of Mathematical Functions, ch. 6 and 26, by the
method of Lentz (1976), Applied Optics 15; of large parameters, so that the time does not grow with them, expansions of
Temme (DLMF 8.12 and 8.18), Sankaran (1959), Biometrika 46, and Edgeworth. By tests/test_distributions.py they are
SciPy's to a relative error of 2e-9 with counts up to 10^5, and of 1e-6 up to 10^8, where logarithms of factorials lose
digits.
"""

import math
from statistics import NormalDist

_SMALL = 1e-300
_EPSILON = 1e-16
_FEW = 1_000  # terms, beside those that large parameters need
_MANY = 1e7  # the smaller parameter from which an expansion for large ones takes over
_WIDE = 1e4  # deviation of a count, likewise
_LARGE = 1e6  # degrees of freedom, from which Student's distribution is the normal one and a first correction


def normal_below(x: float) -> float:
    """Chance that a normal variable is below x."""
    return math.erfc(-x / math.sqrt(2)) / 2


def normal_quantile(p: float) -> float:
    """What a normal variable is below with chance p, from 0 to 1 and neither."""
    return NormalDist().inv_cdf(p)


def beta_below(a: float, b: float, x: float) -> float:
    """Chance that a beta variable is below x: the regularized incomplete beta function, for a, b > 0."""
    if not 0 < x < 1:
        return 0.0 if x <= 0 else 1.0
    if min(a, b) > _MANY:
        return _beta_of_many(a, b, x)
    log = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)
    if x < (a + 1) / (a + b + 2):
        return min(math.exp(log) * _beta_fraction(a, b, x) / a, 1.0)
    return max(1.0 - math.exp(log) * _beta_fraction(b, a, 1 - x) / b, 0.0)


def _beta_of_many(a: float, b: float, x: float) -> float:
    """DLMF 8.18.9, to its first term."""
    both = a + b
    middle = a / both
    away = x - middle
    spread = middle * (1 - middle)
    half = -(middle * math.log1p(away / middle) + (1 - middle) * math.log1p(-away / (1 - middle)))
    eta = math.copysign(math.sqrt(2 * max(half, 0.0)), away)
    near = abs(away) < 1e-5 * spread  # where the difference has no digits, its limit
    first = (2 * middle - 1) / (3 * math.sqrt(spread)) if near else math.sqrt(spread) / away - 1 / eta
    rest = first * math.exp(-both * eta * eta / 2) / math.sqrt(2 * math.pi * both)
    return min(max(normal_below(eta * math.sqrt(both)) - rest, 0.0), 1.0)


def _log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function; of a large parameter by Stirling's series, whose differences keep digits."""
    small, large = sorted((a, b))
    if large < _FEW:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    both = small + large
    rest = 1 / (12 * large) - 1 / (360 * large**3) - 1 / (12 * both) + 1 / (360 * both**3)
    return math.lgamma(small) - (both - 0.5) * math.log1p(small / large) - small * math.log(large) + small + rest


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, _inverse(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _terms(max(a, b))):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _inverse(1 + even * d), _away(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _inverse(1 + odd * d), _away(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < _EPSILON * 8:
            break
    return value


def gamma_above(shape: float, x: float) -> float:
    """Chance that a gamma variable of scale 1 is above x."""
    if x <= 0:
        return 1.0
    if shape > _MANY:
        return _gamma_of_many(shape, x)
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for n in range(1, _terms(shape)):
            term *= x / (shape + n)
            total += term
            if term < total * _EPSILON:
                break
        return max(1.0 - scale * total, 0.0)
    d = 1 / (x + 1 - shape)
    c, value = 1 / _SMALL, d
    for n in range(1, _terms(shape)):
        step, b = -n * (n - shape), x + 1 - shape + 2 * n
        d, c = _inverse(step * d + b), _away(b + step / c)
        value *= d * c
        if abs(d * c - 1) < _EPSILON * 8:
            break
    return min(scale * value, 1.0)


def _gamma_of_many(shape: float, x: float) -> float:
    """DLMF 8.12.4, to its first term."""
    away = x / shape - 1
    half = away - math.log1p(away)
    eta = math.copysign(math.sqrt(2 * max(half, 0.0)), away)
    first = -1 / 3 if abs(away) < 1e-5 else 1 / away - 1 / eta
    rest = first * math.exp(-shape * eta * eta / 2) / math.sqrt(2 * math.pi * shape)
    return min(max(normal_below(-eta * math.sqrt(shape)) + rest, 0.0), 1.0)


def chi_squared_above(degrees: float, x: float) -> float:
    """Chance that a chi-squared variable is above x."""
    return gamma_above(degrees / 2, x / 2)


def noncentral_chi_squared_above(degrees: float, noncentrality: float, x: float) -> float:
    """The same of a noncentral one: chi-squared variables with 2 j more degrees of freedom, j from Poisson's law."""
    half, shape, y = noncentrality / 2, degrees / 2, x / 2
    if half <= 0 or y <= 0:
        return chi_squared_above(degrees, x)
    if half > _MANY:
        return _noncentral_of_many(degrees, noncentrality, x)
    reach = 10 * math.sqrt(half) + 50
    low = max(0, int(half - reach))
    above, total = gamma_above(shape + low, y), 0.0
    for j in range(low, int(half + reach)):
        total += math.exp(j * math.log(half) - half - math.lgamma(j + 1)) * above
        more = math.exp((shape + j) * math.log(y) - y - math.lgamma(shape + j + 1))
        above = min(above + more, 1.0)
    return min(total, 1.0)


def _noncentral_of_many(degrees: float, moved: float, x: float) -> float:
    """Sankaran's normal approximation."""
    mean, wide = degrees + moved, degrees + 2 * moved
    h = 1 - 2 * mean * (degrees + 3 * moved) / (3 * wide**2)
    p = wide / mean**2
    m = (h - 1) * (1 - 3 * h)
    z = ((x / mean) ** h - 1 - h * p * (h - 1 - (2 - h) * m * p / 2)) / (h * math.sqrt(2 * p) * (1 + m * p / 2))
    return normal_below(-z)


def f_above(first: float, second: float, x: float) -> float:
    """Chance that a variable of Fisher's F is above x."""
    return beta_below(second / 2, first / 2, second / (second + first * x)) if x > 0 else 1.0


def student_below(degrees: float, t: float) -> float:
    """Chance that a variable of Student's t is below t."""
    if degrees > _LARGE:
        return normal_below(t * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t * t / (2 * degrees)))
    tail = beta_below(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2
    return tail if t < 0 else 1 - tail


def student_quantile(degrees: float, p: float) -> float:
    """What a variable of Student's t is below with chance p, from 0.5 on and below 1."""
    z = normal_quantile(p)
    if degrees > _LARGE:
        return z + (z**3 + z) / (4 * degrees)
    low, high = 0.0, max(2 * z, 1.0)
    while student_below(degrees, high) < p:
        low, high = high, 2 * high
    while high - low > 4 * math.ulp(high):
        middle = (low + high) / 2
        low, high = (middle, high) if student_below(degrees, middle) < p else (low, middle)
    return (low + high) / 2


def hypergeometric_at_least(count: int, total: int, marked: int, drawn: int) -> float:
    """Chance of `count` or more marked ones among `drawn` of `total` with `marked`; summed from the nearer end."""
    fewest, most = max(0, drawn + marked - total), min(drawn, marked)
    if count <= fewest or count > most:
        return 1.0 if count <= fewest else 0.0
    marked, drawn = sorted((marked, drawn))  # which is the same, and whose factorials have more digits
    mean = drawn * marked / total
    deviation = math.sqrt(mean * (1 - marked / total) * ((total - drawn) / max(total - 1, 1)))
    if deviation > _WIDE:
        z = (count - 0.5 - mean) / deviation
        skewness = (1 - 2 * marked / total) * (1 - 2 * drawn / total) / deviation
        return min(max(normal_below(-z) + skewness * (z * z - 1) * _density(z) / 6, 0.0), 1.0)
    up = count > (drawn + 1) * (marked + 1) // (total + 2)
    at = count if up else count - 1
    term = math.exp(_log_chosen(drawn, at) + _log_chosen(total - drawn, marked - at) - _log_chosen(total, marked))
    summed = 0.0
    while fewest <= at <= most and term > summed * _EPSILON / 10:
        summed += term
        others = total - marked - drawn + at
        if up:
            term *= (marked - at) * (drawn - at) / ((at + 1) * (others + 1))
        else:
            term *= at * others / ((marked - at + 1) * (drawn - at + 1))
        at += 1 if up else -1
    return min(summed, 1.0) if up else max(1.0 - summed, 0.0)


def _log_chosen(n: int, k: int) -> float:
    return -math.log(n + 1) - _log_beta(k + 1, n - k + 1)


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _terms(parameter: float) -> int:
    """How many a series needs at most: some times the square root of its largest parameter."""
    return _FEW + int(10 * math.sqrt(parameter))


def _away(x: float) -> float:
    """Away from 0, by which a step would divide."""
    return x if abs(x) > _SMALL else _SMALL


def _inverse(x: float) -> float:
    return 1 / _away(x)
