"""Interface of `split`."""

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
):
    """Split a table into train and test sets.

    Every row goes to exactly one of the two, and both keep the order of the table. The same table, parameters and seed
    give the same sets. Rows of the test set that occur, equal in every column, in the train set as well are counted and
    reported: a model can remember them.

    Args:
        dataset: The table, a folder of Parquet files.
        by: How rows are chosen. `random`; `stratified`: each class of `column` has the same share in both sets
            (missing is a class); `group`: rows with the same value of `column` stay together; `time`: the test set is
            later than the train set, and no instant is in both.
        column: The class, group or time column. A time column holds timestamps, dates or numbers. Not for `random`.
        test_fraction: Share of the rows that go to the test set, between 0 and 1. Groups and equal times are kept
            whole, so there the share is as near as they allow.
        cutoff: With `time`: the first instant of the test set, such as `2013-10-01` (UTC when the column has time
            zones), in place of `test_fraction`.
        seed: Seed of the random choice. Not used by `time`.

    Returns:
        train: Folder of `part-*.parquet` files; metadata rows, columns, bytes, fingerprint, source and
            parent_fingerprint (of the table that was split).
        test: The same, with the metadata key duplicates: test rows that occur in the train set as well.
        report: Rows and share of each set, what the split was made by, and the duplicates.
    """
    from kubeline.data import split as implementation

    implementation.run(
        dataset, train, test, report, by=by, column=column, test_fraction=test_fraction, cutoff=cutoff, seed=seed
    )
