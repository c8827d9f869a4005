"""Alpha spending: several looks (interim analyses) at growing data, without more false alarms.

A spending function says how much of alpha may have been used when a share t of the looks is over (Lan and DeMets 1983,
Biometrika 70). What a look adds is the level of its tests. Used like this, as a union bound, alpha holds whatever the
correlations between looks: those of one step share their data, those of two steps do not, and so the sharper
boundaries for steadily growing data do not apply. It costs little where a regression is worth stopping for.
"""

import math
from typing import Literal, get_args

from kubeline.distributions import normal_below, normal_quantile

Spending = Literal["pocock", "obrien-fleming"]


def spent(alpha: float, share: float, spending: Spending) -> float:
    """Part of `alpha` that may be used when a `share` of the looks, from 0 to 1, is over."""
    if spending not in get_args(Spending):
        raise ValueError(f"spending must be one of {', '.join(get_args(Spending))}, but is {spending!r}")
    if share <= 0:
        return 0.0
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * share)
    return 2 * normal_below(normal_quantile(alpha / 2) / math.sqrt(share))


def level(alpha: float, look: int, looks: int, spending: Spending) -> float:
    """What look number `look`, from 1, of at most `looks` may use.

    A rollout that looks more often than it planned goes on with the level of its last planned look, and exceeds alpha
    by that much each time.
    """
    if look < 1 or looks < 1:
        raise ValueError(f"looks are counted from 1, but got look {look} of {looks}")
    look = min(look, looks)
    return spent(alpha, look / looks, spending) - spent(alpha, (look - 1) / looks, spending)
