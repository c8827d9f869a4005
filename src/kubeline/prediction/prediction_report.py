"""The page of a batch of predictions."""

from kubeline.errors import counted
from kubeline.model_package.package import ModelPackage
from kubeline.prediction.shard import Shard
from kubeline.prediction.summary import Summary
from kubeline.reports.page import Report, facts, table, verdict

_LABELS = 50  # classes that are listed


def write_report(path: str, package: ModelPackage, shard: Shard, summary: Summary, destination: str) -> None:
    """Write what was predicted, for how many rows, and why some rows have no prediction.

    Args:
        path: Of the HTML page.
        package: The model.
        shard: Which part of the table it is about.
        summary: What was counted.
        destination: Where the predictions went besides, without credentials; empty for nowhere.
    """
    signature = package.signature
    report = Report(
        f"Predictions of '{signature.target}'", f"model {package.digest[:12]}, {package.manifest.estimator}"
    )
    total = summary.rows + summary.quarantined
    words = f"{summary.rows:,} of {total:,} rows predicted"
    whys = [f"{reason}: {counted(rows, 'row')}" for reason, rows in summary.reasons.most_common()]
    report.add("Outcome", verdict(words, "warn" if summary.quarantined else "good", whys))
    about = {"Rows": summary.rows, "Quarantined": summary.quarantined, "Part of the table": str(shard)}
    report.add("Batch", facts(about | ({"Destination": destination} if destination else {})))
    if summary.labels:
        found = summary.labels.most_common()
        rows = [(label, count, f"{count / summary.rows:.1%}") for label, count in found[:_LABELS]]
        more = len(found) - _LABELS
        report.add(
            "Classes", table(("class", "rows", "share"), rows, f"and {more:,} further classes" if more > 0 else "")
        )
    elif summary.rows:
        least, greatest, total_of_all = summary.numbers
        report.add("Numbers", facts({"Least": least, "Mean": total_of_all / summary.rows, "Greatest": greatest}))
    report.write(path)
