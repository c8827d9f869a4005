"""Interface of `transform`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def transform(
    dataset: Input[Dataset],
    transform: Output[Artifact],
    report: Output[HTML],
    derive: dict[str, str],
    target: str = "",
    exclude: list[str] = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    options: dict[str, Any] = {},
) -> None:
    """Declare the columns that models derive from a table's, and try them on the table.

    No table is changed: ``train`` takes the declaration into the model, whose ONNX graph computes the columns from the
    raw ones. So training, batch prediction and serving cannot differ, and schemas, requests, payload logs and drift
    speak of raw columns alone. What reads other rows (windows, the past of a customer) belongs to the query of
    ``load``.

    Expressions are SQL, as DuckDB reads it, over the columns of one row: numbers, text in single quotes, true and
    false; ``+ - * /``; ``= <> < <= > >=``, ``between``, ``in``, ``is null``; ``and``, ``or``, ``not``;
    ``case when … then … else … end``, ``if``, ``coalesce``, ``nullif``, ``greatest``, ``least``; ``abs``, ``ceil``,
    ``floor``, ``round``, ``trunc``, ``sign``, ``sqrt``, ``exp``, ``ln``, ``log10``, ``log2``, ``pow`` (2 to 4),
    ``sin``, ``cos``, ``pi()``; of times ``year``, ``quarter``, ``month``, ``day``, ``dayofweek``, ``isodow``,
    ``hour``, ``minute``, ``second``, ``epoch``, ``date_part`` and ``date_diff('day', one, other)``, in UTC; ``||`` to
    cross categories; casts of truth to a number, and of text in quotes to a time. An answer is a number, true or false,
    a time or a category.

    A missing value makes the result missing, as in SQL, and so does what is no number: a division by zero, the
    logarithm of what is not positive, what float32 cannot hold. Numbers are calculated in float64 and compared as
    float32, as which models read them. Of a column of text the 10,000 most frequent values are distinguished, and the
    others are one.

    A column is refused that is the same or missing in every row, and so is an expression that reads the target or a
    column that is no feature.

    Args:
        dataset: The table that models learn from.
        derive: Expressions by the name of the derived column, such as
            ``{"log_amount": "ln(1 + amount)", "route": "origin || '-' || dest"}``. With an empty expression, a column
            of the table is read by others and is no feature itself.
        target: Column to predict, which no expression may read.
        exclude: Columns that are no features, and that no expression may read.
        group_column: The same.
        time_column: The same. A table that was split by time needs none, and its time may be read.
        weight_column: The same.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        transform: ``transform.json``, for the input of that name of ``train``: of each derived column its name,
            expression, kind and the columns that it reads; metadata columns.
        report: Page with the derived columns, how they are spread, and their values in some rows.
    """
    given = {**locals()}

    from kubeline.options import inputs_of
    from kubeline.training import transform as implementation

    implementation.run(**inputs_of(given))
