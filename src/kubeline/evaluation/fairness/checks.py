"""The figures of fairness on test rows, and whether the model keeps what is asked."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from kubeline.data.stored import StoredTable
from kubeline.errors import UserError, counted, listed
from kubeline.evaluation.bootstrap import Bootstrap, Interval
from kubeline.evaluation.fairness import rates
from kubeline.evaluation.fairness.rates import FEWEST, RATES, GroupRate, measure
from kubeline.evaluation.fairness.requirements import FairnessRequirement
from kubeline.evaluation.gate import GateCheck, GateOutcome, reach
from kubeline.evaluation.kept import Numbers
from kubeline.evaluation.parts import parts_of
from kubeline.evaluation.scored import Scored
from kubeline.task import Task

_BINS = 4  # of a numeric column, as of slices
SHOWN: dict[Task, tuple[str, ...]] = {
    "binary": ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy_score"),
    "multiclass": ("accuracy_score",),
    "regression": ("mean_prediction", "mean_absolute_error"),
}


@dataclass(frozen=True)
class FairnessGroup:
    """The rows judged of one group: how many, and each rate of them with its interval (undefined ones are missing)."""

    value: str
    rows: int
    rates: dict[str, Interval]


@dataclass(frozen=True)
class Fairness:
    """One requirement on the rows judged.

    Attributes:
        asked: What was asked.
        groups: Those compared, the largest first.
        found: How far apart they are; the ends are None where not known, and so is it where it has no value.
        unknown: Why it is not known, as the end of a sentence; empty where it is.
    """

    asked: FairnessRequirement
    groups: list[FairnessGroup] = field(default_factory=list)
    found: Interval | None = None
    unknown: str = ""

    @property
    def outcome(self) -> GateOutcome:
        """Pass or fail when the whole interval says so."""
        limit = self.asked.limit
        if self.unknown or self.found is None or limit is None:
            return "inconclusive"
        found = self.found if self.asked.is_ratio else self.found.negated()
        return reach(found, limit if self.asked.is_ratio else -limit)

    @property
    def sentence(self) -> str:
        """The figure, what is asked, and what follows."""
        if self.unknown or self.found is None:
            return f"{self.asked.spoken} is not known: {self.unknown}"
        words = f"{self.asked.spoken} is {self.found} over {counted(len(self.groups), 'group')}"
        if self.asked.limit is None:
            return words
        bound = f"{'at least' if self.asked.is_ratio else 'at most'} {self.asked.limit:g}"
        ends = {
            "pass": f": {bound} over its whole interval, as asked",
            "fail": f", and {bound} is asked, which is nowhere in its interval",
            "inconclusive": f", too near to what is asked ({bound}) to decide; more test rows would narrow it",
        }
        return words + ends[self.outcome]

    def check(self) -> GateCheck | None:
        """The check of the gate; None where nothing is asked."""
        if self.asked.limit is None:
            return None
        return GateCheck(f"fairness: {self.asked.spoken}", self.outcome, self.sentence)


@dataclass(frozen=True)
class FairRows:
    """The rows judged, for figures of fairness.

    Attributes:
        frame: The test table.
        judged: (rows of the table,) True for the rows judged.
        scored: The model on them.
        bootstrap: Of them.
        confidence: Of intervals; that of all requirements together.
        min_rows: With fewer, nothing is said of a group.
    """

    frame: StoredTable | pd.DataFrame
    judged: Numbers
    scored: Scored
    bootstrap: Bootstrap
    confidence: float
    min_rows: int


def numbered_groups(found: Sequence[Fairness], personal: Container[str] | None) -> list[Fairness]:
    """The same, with numbers in place of the values of columns that hold personal data; None where nobody looked."""
    return [_numbered(one) if one.asked.column in (personal or ()) else one for one in found]


def _numbered(fairness: Fairness) -> Fairness:
    groups = [replace(group, value=f"group {place}") for place, group in enumerate(fairness.groups, 1)]
    unknown = "why would name a value of people" if fairness.unknown else ""
    return replace(fairness, groups=groups, unknown=unknown)


def evaluate_fairness(requirements: Sequence[FairnessRequirement], rows: FairRows) -> list[Fairness]:
    """Each requirement on the rows judged; their intervals hold together, all those with a limit (Bonferroni).

    Raises:
        UserError: when the table lacks a column.
    """
    for one in requirements:
        if one.column not in rows.frame.columns:
            raise UserError(
                f"fairness names '{one.column}', which is not a column of the test table; it has: "
                f"{listed(rows.frame.columns)}"
            )
    limits = sum(one.limit is not None for one in requirements)
    return [_evaluate(one, rows, 1 - (1 - rows.confidence) / max(limits, 1)) for one in requirements]


def _evaluate(asked: FairnessRequirement, rows: FairRows, confidence: float) -> Fairness:
    parts = parts_of(rows.frame, asked.column, rows.judged, _BINS)
    compared = [
        (code, value, size)
        for code, (value, size) in enumerate(zip(parts.labels, parts.sizes, strict=True))
        if not asked.asked.groups or value in asked.asked.groups
    ]
    left_out = 0 if asked.asked.groups else len(rows.scored) - sum(parts.sizes)
    label = asked.asked.label
    scored = rows.scored if label is None else rows.scored.against_rest(label)
    shown = tuple(dict.fromkeys((*SHOWN[scored.task], *asked.rates)))
    measured = [
        measure(shown, scored.part(parts.codes, code), rows.bootstrap.part(parts.codes, code)) for code, *_ in compared
    ]
    named = [
        FairnessGroup(name, size, _intervals(each, rows.confidence))
        for (_, name, size), each in zip(compared, measured, strict=True)
    ]
    unknown = _unknown(asked, named, measured, left_out, rows.min_rows)
    if unknown:
        return Fairness(asked, named, unknown=unknown)
    found = _apart(asked, measured, confidence)
    if not np.isfinite(found.value):
        return Fairness(asked, named, unknown="the rate is zero in every group, so that it has no ratio")
    return Fairness(asked, named, found)


def _intervals(measured: Mapping[str, GroupRate], confidence: float) -> dict[str, Interval]:
    return {
        name: one.interval(confidence, RATES[name].is_share) for name, one in measured.items() if np.isfinite(one.value)
    }


def _apart(asked: FairnessRequirement, measured: Sequence[Mapping[str, GroupRate]], confidence: float) -> Interval:
    """The greatest distance of two groups, of the rate where they are the furthest apart."""
    level = 1 - (1 - confidence) / len(asked.rates)
    found = []
    for name in asked.rates:
        each = [of_group[name] for of_group in measured]
        found.append(
            rates.ratio(each, level) if asked.is_ratio else rates.difference(each, level, RATES[name].is_share)
        )
    return rates.worst(found, asked.is_ratio)


def _unknown(
    asked: FairnessRequirement,
    named: Sequence[FairnessGroup],
    measured: Sequence[Mapping[str, GroupRate]],
    left_out: int,
    min_rows: int,
) -> str:
    """Why nothing can be said of all groups that are to be compared; a group too small to know is no pass."""
    absent = [name for name in asked.asked.groups if name not in {one.value for one in named}]
    if absent:
        return f"no test row judged has '{asked.column}' {listed(absent)}; correct groups, or give rows of it"
    if left_out:
        return f"'{asked.column}' has more than {len(named)} values; name those to be compared in groups"
    if len(named) < 2:
        return f"the test rows judged have a single value of '{asked.column}', and so nothing to compare"
    small = [f"'{one.value}' ({counted(one.rows, 'row')})" for one in named if one.rows < min_rows]
    if small:
        return (
            f"too few rows of {asked.column} {listed(small)}, where {min_rows:,} are needed (min_slice_rows); give "
            "more test rows, or name the groups to be compared in groups"
        )
    for group, of_group in zip(named, measured, strict=True):
        for name in asked.rates:
            if of_group[name].rows < FEWEST:
                return (
                    f"the {RATES[name].label.lower()} of {asked.column} '{group.value}' is of "
                    f"{counted(of_group[name].rows, 'row')} only, where {FEWEST} are needed; give more test rows"
                )
    return ""
