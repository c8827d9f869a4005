"""Tries derived columns on a table and writes them down: the implementation of the component `transform`."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError, counted
from kubeline.reports import Report, table, text
from kubeline.roles import Roles
from kubeline.training.encoded import columns
from kubeline.training.table import features
from kubeline.transform.document import TransformDocument
from kubeline.transform.transform import Derived, Transform, declare
from kubeline.typing import Array

_SHOWN = 10  # rows of the page
_HIDDEN = "not shown: personal data"


@step
def run(
    dataset: Artifact,
    transform: Artifact,
    report: Artifact,
    *,
    derive: Mapping[str, str],
    target: str = "",
    exclude: Sequence[str] = (),
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
) -> None:
    """Write what is derived, and a page of it; see the component `transform`.

    Raises:
        UserError: names the derived column and what is wrong with it; nothing is written then.
    """
    if not derive:
        raise UserError("derive is empty; give expressions by name, such as {'log_amount': 'ln(1 + amount)'}")
    rows = open_dataset(dataset.path)
    roles = Roles(target, tuple(exclude), group_column, time_column, weight_column)
    roles.require(rows)
    raw = rows.to_table()
    kinds, _ = features(raw, roles)
    encoded = columns(raw, kinds)[0].whole()
    found = declare(derive, encoded, kinds, roles.reasons)
    page = _page(found, encoded, set(dataset.metadata.get("personal", ())))
    with publish(transform.path) as file:
        file.write_text(TransformDocument.of(found).model_dump_json(indent=2), encoding="utf-8")
    page.write(report.path)
    describe(transform, {"columns": [each.name for each in found.derived]})


def _page(transform: Transform, frame: pd.DataFrame, personal: set[str]) -> Report:
    """The columns, how they are spread, and some rows; of columns that hold personal data, no value."""
    computed = transform.columns(frame)
    hidden = personal | {each.name for each in transform.derived if personal & set(each.reads)}
    made = Report(
        "Derived columns", f"{counted(len(transform.derived), 'column')}, tried on {counted(len(frame), 'row')}"
    )
    made.add(
        "Columns",
        text("They are computed inside the model, from raw columns, wherever it predicts."),
        table(
            ["column", "kind", "expression", "missing", "values"],
            [
                [each.name, each.kind, each.expression, f"{_missing(each, values).mean():.1%}", spread]
                for each in transform.derived
                for values in [computed[each.name].to_numpy()]
                for spread in [_HIDDEN if each.name in hidden else _spread(each, values)]
            ],
        ),
    )
    if transform.only_read:
        made.add("Only read", text(f"No features themselves: {', '.join(sorted(transform.only_read))}."))
    reads = sorted(transform.read_by([each.name for each in transform.derived]))
    places = np.linspace(0, len(frame) - 1, num=min(len(frame), _SHOWN)).round().astype(int)
    rows = [
        [
            *(_HIDDEN if name in hidden else str(frame[name].iloc[place]) for name in reads),
            *(
                _HIDDEN if each.name in hidden else _word(each, computed[each.name].iloc[place])
                for each in transform.derived
            ),
        ]
        for place in places
    ]
    made.add("Some rows", table([*reads, *(each.name for each in transform.derived)], rows))
    return made


def _missing(each: Derived, values: Array) -> Array:
    if each.kind == "category":
        return np.array([not text for text in each.texts])[values]
    return np.isnan(values)


def _spread(each: Derived, values: Array) -> str:
    """The most frequent texts, the share of what is true, or three quantiles."""
    if each.kind == "category":
        return f"{len(each.texts) - 1:,}, such as {', '.join(filter(None, each.texts[:-4:-1]))}"
    there = values[~np.isnan(values)]
    if each.kind == "boolean":
        return f"true in {there.mean():.1%}"
    low, middle, high = (_word(each, value) for value in (there.min(), np.median(there), there.max()))
    return f"{low} to {high}, median {middle}"


def _word(each: Derived, value: float) -> str:
    if each.kind == "category":
        return each.texts[int(value)] or "missing"
    if np.isnan(value):
        return "missing"
    if each.kind == "boolean":
        return str(bool(value)).lower()
    return f"{pd.Timestamp(value, unit='s')}" if each.kind == "datetime" else f"{value:.6g}"
