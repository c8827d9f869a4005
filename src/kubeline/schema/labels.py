"""Whether the target can be learned from: its classes, their balance, and that it is no identifier."""

from collections.abc import Mapping
from typing import Any

from kubeline.errors import counted
from kubeline.schema.document import SchemaTask
from kubeline.schema.findings import Finding
from kubeline.task import MAX_CLASSES

FEW_ROWS = 10  # a class with fewer rows gets a warning
OF_EQUAL_SHARE = 0.1  # of that of many classes, below which the rarest is not extremely rare


def check_labels(
    target: str, task: SchemaTask, counts: Mapping[Any, int] | None, distinct: int, rows: int, min_class_share: float
) -> tuple[list[Finding], list[Finding]]:
    """Problems and warnings about the target.

    Args:
        target: Its name.
        task: What it is for.
        counts: Value -> rows; None when there are too many values to count.
        distinct: How many different values there are.
        rows: Rows with a value.
        min_class_share: Smallest share of the rarest class, 0 to 1.
    """
    if distinct == 1:
        only = f" ({next(iter(counts))!r})" if counts else ""
        what = "class" if task == "classification" else "value"
        message = f"target '{target}' has only one {what}{only} in {counted(rows, 'row')}"
        return [Finding("one class", target, message, advice="load rows with other values of the target")], []
    if task == "regression" or not distinct:
        return [], []
    if counts is None or distinct > MAX_CLASSES or (distinct > 20 and distinct * FEW_ROWS > rows):
        message = (
            f"target '{target}' has {distinct:,} classes in {rows:,} rows, which is an identifier or a quantity rather "
            "than a class"
        )
        advice = "name another target, or set its task to regression in the schema"
        return [Finding("too many classes", target, message, advice=advice)], []
    return _balance(target, counts, rows, min_class_share)


def _balance(
    target: str, counts: Mapping[Any, int], rows: int, min_class_share: float
) -> tuple[list[Finding], list[Finding]]:
    rarest = min(counts, key=lambda value: counts[value])
    count = counts[rarest]
    words = f"class {str(rarest)!r} of target '{target}' has {count:,} of {rows:,} rows"
    min_class_share = min(min_class_share, OF_EQUAL_SHARE / len(counts))
    if count / rows < min_class_share:
        message = f"{words} ({count / rows:.4%}), less than min_class_share {min_class_share:.4%}"
        advice = "load more rows of that class, or lower min_class_share"
        return [Finding("imbalance", target, message, advice=advice)], []
    if count < FEW_ROWS:
        return [], [Finding("imbalance", target, f"{words}, too few to learn or to test it")]
    return [], []
