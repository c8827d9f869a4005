"""Of columns that hold personal data the pages and the result of a drift check show how they shifted, and no value."""

from collections.abc import Collection, Sequence

from kubeline.artifacts import Artifact
from kubeline.drift.result import ColumnDrift, DriftResult, Notable, Share, SlicePerformance
from kubeline.model_package.package import ModelPackage

_HIDDEN = {
    "new_categories": "some of its rows hold categories that the reference does not have",
    "vanished_categories": "no row holds some of the categories that the reference has",
}


def personal_columns_of(package: ModelPackage | None, *tables: Artifact | None) -> set[str]:
    """The columns that `validate` found personal, in the table of the training or in one of these."""
    known = set(package.manifest.roles.personal) if package else set[str]()
    return known.union(*(table.metadata.get("personal", ()) for table in tables if table))


def without_values(outcome: DriftResult, personal: Collection[str]) -> DriftResult:
    """The outcome with numbers in place of the values of these columns."""
    if not personal:
        return outcome
    return outcome.model_copy(
        update={
            "columns": [_hidden(one) if one.name in personal else one for one in outcome.columns],
            "findings": [_spoken(one) if one.column in personal else one for one in outcome.findings],
            "slices": _numbered(outcome.slices, personal),
            "estimated_slices": _numbered(outcome.estimated_slices, personal),
        }
    )


def _hidden(column: ColumnDrift) -> ColumnDrift:
    shares = [
        Share(label=f"bin {place}", reference=one.reference, current=one.current)
        for place, one in enumerate(column.shares, 1)
    ]
    unseen = column.unseen and column.unseen.model_copy(update={"most_frequent": {}})
    return column.model_copy(update={"shares": shares, "unseen": unseen})


def _spoken(found: Notable) -> Notable:
    return found.model_copy(update={"text": _HIDDEN.get(found.kind, found.text)})


def _numbered(slices: Sequence[SlicePerformance], personal: Collection[str]) -> list[SlicePerformance]:
    numbered = []
    for place, one in enumerate(slices, 1):
        column = next((name for name in personal if one.slice.startswith((f"{name}=", f"{name} "))), None)
        numbered.append(one.model_copy(update={"slice": f"{column}: part {place}"}) if column else one)
    return numbered
