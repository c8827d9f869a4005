"""What the parameter `fairness` asks of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from kubeline.errors import UserError, listed
from kubeline.numbers import Number
from kubeline.task import Task

Name = Annotated[str, Field(min_length=1)]

# What fairlearn calls them, and the rates that they compare.
_OF_CLASSES = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "accuracy_score": ("accuracy_score",),
}
METRICS: Mapping[str, tuple[str, ...]] = {
    **{f"{name}_{kind}": rates for name, rates in _OF_CLASSES.items() for kind in ("difference", "ratio")},
    "mean_prediction_difference": ("mean_prediction",),
    "mean_absolute_error_difference": ("mean_absolute_error",),
    "mean_absolute_error_ratio": ("mean_absolute_error",),
}
_OF_NUMBERS = tuple(name for name in METRICS if name.startswith("mean_"))
_OF_MANY_CLASSES = tuple(name for name in METRICS if name.startswith("accuracy_score"))


class FairnessFields(BaseModel, frozen=True, extra="forbid", populate_by_name=True):
    """What is asked by one metric: of which columns, of which of their groups, and how much is allowed.

    `at_most` belongs to differences and `at_least` to ratios; without either, the figure is shown and nothing is asked.
    `class` names the class that is the positive outcome, against all others. `groups` are the values to compare; all
    without it.
    """

    columns: Annotated[list[Name], Field(min_length=1)]
    groups: list[str] = []
    at_most: Number | None = None
    at_least: Number | None = None
    label: str | None = Field(default=None, alias="class")


@dataclass(frozen=True)
class FairnessRequirement:
    """One metric on the groups of one column."""

    metric: str
    column: str
    asked: FairnessFields

    @property
    def is_ratio(self) -> bool:
        """Whether greater is fairer."""
        return self.metric.endswith("_ratio")

    @property
    def rates(self) -> tuple[str, ...]:
        """The names of what is compared between the groups."""
        return METRICS[self.metric]

    @property
    def limit(self) -> float | None:
        """What is allowed, if anything is asked."""
        return self.asked.at_least if self.is_ratio else self.asked.at_most

    @property
    def spoken(self) -> str:
        """``demographic_parity_difference of 'yes' by 'sex'``."""
        of = f" of '{self.asked.label}'" if self.asked.label else ""
        return f"{self.metric}{of} by '{self.column}'"

    @property
    def key(self) -> str:
        """Its name among metrics: ``demographic_parity_difference.sex``."""
        return ".".join([self.metric, *([self.asked.label] if self.asked.label else []), self.column])


def parse(given: Mapping[str, Any], task: Task, classes: list[str] | None = None) -> list[FairnessRequirement]:
    """Read the `fairness` parameter: metric names, each with fields or a list of such.

    Args:
        given: The parameter.
        task: The task.
        classes: Those that the model knows; None where they are not known yet, and then any may be named.

    Raises:
        UserError: when a metric, a class or a field is unknown, or a limit cannot be one.
    """
    found = []
    for name, values in given.items():
        _require_metric(name, task)
        for value in values if isinstance(values, list) else [values]:
            asked = _read(name, value)
            _require_limit(name, asked)
            _require_class(name, asked.label, task, classes)
            found += [FairnessRequirement(name, column, asked) for column in asked.columns]
    return found


def columns_of(given: Mapping[str, Any]) -> list[str]:
    """The columns that a `fairness` parameter names, as far as it can be read."""
    every = [one for values in given.values() for one in (values if isinstance(values, list) else [values])]
    named = [one.get("columns") for one in every if isinstance(one, Mapping)]
    return [str(column) for columns in named if isinstance(columns, list) for column in columns]


def _require_metric(name: str, task: Task) -> None:
    fit = [one for one in METRICS if (one in _OF_NUMBERS) == (task == "regression")]
    if name not in fit:
        what = "is a metric of another task" if name in METRICS else "is no metric of fairness"
        raise UserError(f"fairness names '{name}', which {what}; for a {task} task there are: {listed(fit, 20)}")


def _read(name: str, value: Any) -> FairnessFields:
    try:
        return FairnessFields.model_validate(value)
    except ValidationError as error:
        fields = [field.alias or key for key, field in FairnessFields.model_fields.items()]
        raise UserError(
            f"fairness asks for '{name}' with {value!r}; expected a mapping with columns (a list of names) and some "
            f"of: {listed([one for one in fields if one != 'columns'])}"
        ) from error


def _require_limit(name: str, asked: FairnessFields) -> None:
    right, wrong = ("at_least", "at_most") if name.endswith("_ratio") else ("at_most", "at_least")
    if getattr(asked, wrong) is not None:
        kind = "ratio, of which more is fairer" if right == "at_least" else "difference, of which less is fairer"
        raise UserError(f"fairness gives '{name}' {wrong}, but it is a {kind}; give {right}")
    limit = getattr(asked, right)
    most = float("inf") if name in _OF_NUMBERS and right == "at_most" else 1.0
    if limit is not None and not 0 <= limit <= most:
        range_ = "0 or more" if most > 1 else "from 0 to 1"
        raise UserError(f"fairness gives '{name}' {right} {limit:g}; expected a number {range_}")


def _require_class(name: str, label: str | None, task: Task, classes: list[str] | None) -> None:
    if label is None:
        if task == "multiclass" and name not in _OF_MANY_CLASSES:
            raise UserError(f"fairness names '{name}' without a class, but the target has several; add class")
    elif task == "regression" or (classes is not None and label not in classes):
        raise UserError(
            f"fairness asks for '{name}' of class '{label}', which the model does not have; it has: "
            f"{listed(classes) if classes else 'none, for it is a regression'}"
        )
