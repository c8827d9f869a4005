"""What the columns of a table are for, the same in every step: the target, and those that are no features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.dataset as pads

from kubeline.data.dataset import require_columns
from kubeline.errors import UserError, counted
from kubeline.masking import form_of
from kubeline.options import require_names
from kubeline.typing import Array

_FEASIBLE = (2.0**-60, 2.0**60)  # of the largest weight, whose sums float32 holds too


@dataclass(frozen=True)
class Roles:
    """Which column is what; empty names are not given.

    Attributes:
        target: What is predicted.
        exclude: Columns that are no features.
        group: Rows with the same value belong together.
        time: Later rows are judged by a model of earlier ones.
        weight: How much a row counts.
        split_by: What `split` divided the table by; only `group` and `time` say anything of the rows.
        split_column: The column that it went by. It stays a feature.
        personal: Columns that hold personal data, whose values no page shows.
    """

    target: str = ""
    exclude: Sequence[str] = ()
    group: str = ""
    time: str = ""
    weight: str = ""
    split_by: str = ""
    split_column: str = ""
    personal: Sequence[str] = ()

    def require(self, dataset: pads.Dataset) -> None:
        """Raise a :class:`UserError` when a column is not there or has two roles."""
        named = self._named()
        for role, name in named.items():
            require_columns(dataset, [name], role)
        require_names("exclude", self.exclude)
        require_columns(dataset, self.exclude, "excluded column")
        taken: dict[str, str] = {}
        for role, name in named.items():
            if name in taken:
                raise UserError(f"column '{name}' is given as {taken[name]} and as {role}; name two different columns")
            taken[name] = role
        if self.group and self.time:
            raise UserError(
                f"group_column '{self.group}' and time_column '{self.time}' ask for two different splits; "
                f"give one of them, and put the other in exclude"
            )

    def _named(self) -> dict[str, str]:
        wanted = {
            "target": self.target,
            "group column": self.group,
            "time column": self.time,
            "weight column": self.weight,
        }
        return {role: name for role, name in wanted.items() if name}

    @property
    def others(self) -> set[str]:
        """The columns that are not features."""
        return {*self._named().values(), *self.exclude}

    @property
    def words(self) -> dict[str, str]:
        """Column -> what it is called in a message."""
        return {name: role for role, name in self._named().items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Column -> why it is no feature."""
        return {**dict.fromkeys(self.exclude, "excluded"), **{n: f"the {role}" for n, role in self.words.items()}}

    @property
    def grouped_by(self) -> str:
        """The column of the groups: the one that is given, else that of the split, unless a time is given."""
        return self.group or ("" if self.time or self.split_by != "group" else self.split_column)

    @property
    def ordered_by(self) -> str:
        """The column of the times: the one that is given, else that of the split, unless a group is given."""
        return self.time or ("" if self.group or self.split_by != "time" else self.split_column)


def check_weights(weights: np.ndarray[Any, np.dtype[np.float64]], column: str) -> None:
    """Raise a :class:`UserError` where a weight is missing or negative."""
    if np.isnan(weights).any():
        raise UserError(
            f"weight column '{column}' is missing in {counted(int(np.isnan(weights).sum()), 'row')}; fill them"
        )
    if (weights < 0).any():
        row = int(np.flatnonzero(weights < 0)[0])
        raise UserError(
            f"weight column '{column}' holds {form_of(float(weights[row]))} in row {row}; weights must be 0 or greater"
        )


def scaled_weights(weights: Array) -> Array:
    """Weights in a unit whose sums and squares are numbers; only their ratios count, which a power of two keeps."""
    largest = float(weights.max(initial=0.0))
    if not largest or _FEASIBLE[0] <= largest <= _FEASIBLE[1]:
        return weights
    exponent = int(np.clip(np.frexp(largest)[1], -1020, 1020))
    return np.ldexp(weights, -exponent)
