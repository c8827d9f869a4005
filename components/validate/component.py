"""Interface of `validate`."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def validate(
    dataset: Input[Dataset],
    valid: Output[Dataset],
    quarantine: Output[Dataset],
    schema: Output[Artifact],
    report: Output[HTML],
    target: str = "",
    exclude: list[str] = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    slices: list[str] = [],
    gate: dict[str, Any] = {},
    schema_uri: str = "",
    mode: str = "fail",
    rules: list[str] = [],
    min_rows: int = 1,
    strict: bool = False,
    max_quarantine: float = 0.5,
    min_class_share: float = 0.001,
    leak_threshold: float = 0.99,
    personal_data: str = "warn",
    defer_failure: bool = False,
    options: dict[str, Any] = {},
) -> NamedTuple("Outputs", [("passed", bool), ("problems", int)]):
    """Infer a schema from a table, or hold the table against one.

    Without ``schema_uri`` a schema is inferred and written as JSON for you to edit and review; given back as
    ``schema_uri`` it is enforced on later tables. Inferred schemas are made for next month's data: enforced are the
    columns and their types, no further columns, the missing share (1.2 times the observed one plus 0.1), finite
    numbers, and the target's classes and completeness. Ranges and categories are recorded under ``observed`` and
    enforced once someone copies them into ``min``, ``max`` and ``categories`` (or infers with ``strict``); until then a
    difference is a warning. Keys (``unique``) and row rules are added by hand.

    Problems of single rows, which can be quarantined: a value that cannot be read as the column's type, an infinite
    number, a missing value where none is allowed, a missing target, a value outside its range or categories, a
    repeated key, a broken rule, a weight that is missing, negative or infinite, a missing group, a time that is missing
    or none. Problems of the table: a missing or further column, another type, too many missing values, too few or too
    many rows, a target of one class, of too many classes or of extreme imbalance, weights that are all 0, a column of
    numbers that stray words turned into text, and a feature that alone predicts the target almost perfectly. Constant
    features, repeated rows, features of very many categories and differences from what was observed are warnings.

    A rule is one SQL condition over the columns of a row, such as ``distance > 0 and carrier is not null``, in DuckDB's
    dialect: comparisons, ``and``, ``or``, ``not``, ``between``, ``in (...)``, ``like``, ``is null``, ``case``, casts,
    arithmetic, and common functions of numbers, text and times (``kubeline.data.conditions`` lists them). Subqueries,
    aggregates and everything that reaches files or the network are refused. A rule that is unknown because a value is
    missing passes.

    Args:
        dataset: The table.
        target: Column to be predicted; its labels are checked, and leaks of it looked for. Empty: the schema's, if any.
        exclude: Columns that are no features: nothing is said of what a model would learn from them.
        group_column: Rows with the same value belong together; it must be there in every row. No feature. Empty: none.
        time_column: A time, date or number that orders the rows, in every row. No feature. Empty: none.
        weight_column: Weight of each row, 0 or greater. No feature. Empty: none.
        slices: Columns by which `evaluate` will break the metrics down: they must be there, and are not dropped.
        gate: What `evaluate` will require: the columns that its ``fairness`` names must be there, and are not dropped.
        schema_uri: Path or URI (``s3://``, ``gs://``, ``https://``, ...) of a schema to enforce. Empty: infer one.
        mode: ``fail`` stops the pipeline at any problem (the report and the schema are still written; every finding is
            in the log too, which is all that Kubeflow Pipelines keeps of a step that failed), ``warn`` reports and
            passes the table on, ``quarantine`` takes bad rows out and stops at problems of the table only.
        rules: SQL conditions that every row must meet, besides those of the schema.
        min_rows: Fewest rows that may be passed on. 0 or more.
        strict: Whether an inferred schema enforces ranges, categories, missing shares and unique columns as observed.
        max_quarantine: Largest share of rows that may be quarantined before the table itself is at fault. 0 to 1.
        min_class_share: Smallest share of the rarest class before the target counts as extremely imbalanced, of many
            classes at most a tenth of an equal share. 0 to 1.
        leak_threshold: Score of one column alone, at most 1, from which it gives the target away: ROC AUC for
            classification, R² of the target's ranks for regression, on sampled rows held out. Above 1 turns it off.
        personal_data: What is done with columns that look as if they held personal data, by their names and a sample of
            their values: ``ignore``, ``warn``, ``refuse``, ``drop``, or ``hash`` with the key in KUBELINE_HASH_KEY. But
            for ``ignore``, no report, schema, log or error of this step shows a value of theirs.
        defer_failure: Whether this step succeeds with its report when the table fails, and the step that reads
            ``valid`` fails in its place, with the same sentence. Kubeflow Pipelines shows no report of a failed step.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        valid: Parquet folder of the rows that may go on; the input's own files when nothing had to change. Metadata:
            rows, columns, bytes, fingerprint, source. Of a deferred failure: ``refused.txt`` alone, verdict `refused`.
        quarantine: Parquet folder of the bad rows as they came, with the columns ``quarantine_reason`` and
            ``quarantine_row`` (number of the row in the input, from 0); empty in other modes. Metadata as valid.
        schema: The schema that was inferred or enforced, as JSON to edit and review. Metadata: columns, fingerprint (of
            what it enforces).
        report: Findings, target and the distribution of every column as one HTML page. Metadata: problems, warnings.
        passed: Whether every row of valid meets the schema.
        problems: How many kinds of problems the table had, those of quarantined rows included.
    """
    given = {**locals()}

    from kubeline.options import inputs_of
    from kubeline.schema import validate as implementation

    return implementation.run(**inputs_of(given))
