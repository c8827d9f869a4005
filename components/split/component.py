"""Interface of `split`."""

from typing import Any

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def split(
    dataset: Input[Dataset],
    train: Output[Dataset],
    test: Output[Dataset],
    report: Output[Markdown],
    by: str = "random",
    column: str = "",
    test_fraction: float = 0.2,
    cutoff: str = "",
    seed: int = 0,
    options: dict[str, Any] = {},
) -> None:
    """Split a table into train and test sets.

    Every row goes to exactly one of the two, and both keep the order of the table. The same table, parameters and seed
    give the same sets. Except by time, each row or group is drawn by a hash of itself and the seed, not by its place:
    it stays on its side when rows are added, so that the next model is not tested on what this one was trained on, and
    equal rows are on one side. The price is that the share is near the one asked for, and not exact.

    Args:
        dataset: The table, a folder of Parquet files.
        by: How rows are chosen. `random`; `stratified`: each class of `column` has the same share in both sets
            (missing is a class); `group`: rows with the same value of `column` stay together; `time`: the test set is
            later than the train set, and no instant is in both.
        column: The class, group or time column. A time column holds timestamps, dates or numbers. Not for `random`.
        test_fraction: Share of the rows that go to the test set, between 0 and 1. Approximate: of 1,000
            rows drawn with 0.2, 187 to 213 in two of three cases. Groups and equal times are kept whole, and 0.2 is of
            the groups, whatever their size.
        cutoff: With `time`: the first instant of the test set, such as `2013-10-01` (UTC when the column has time
            zones), in place of `test_fraction`.
        seed: Of the random choice; another one gives other sets, which overlap with the former training. Not used by
            `time`.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        train: Folder of `part-*.parquet` files; metadata rows, columns, bytes, fingerprint, source and
            parent_fingerprint (of the table that was split), split_by, split_column.
        test: The same.
        report: Rows and share of each set, and what the split was made by.
    """
    given = {**locals()}

    from kubeline.data import split as implementation
    from kubeline.options import inputs_of

    implementation.run(**inputs_of(given))
