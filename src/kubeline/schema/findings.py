"""What a check found, in words for the log, the report and the error."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubeline.errors import counted


@dataclass(frozen=True)
class Finding:
    """One kind of fault (or of oddity) of a table.

    Attributes:
        check: What was checked: ``missing column``, ``range``, ``leak``, …
        column: The column it speaks of; empty for the whole table.
        message: One clause that says what is wrong and how often.
        rows: Rows concerned; None when it speaks of the table and no row can be blamed.
        examples: Some of the offending values, as text.
        advice: What to do about it; empty for what holds of every problem: correct the data or the schema.
    """

    check: str
    column: str
    message: str
    rows: int | None = None
    examples: tuple[str, ...] = ()
    advice: str = ""


def problem_count(findings: Sequence[Finding]) -> str:
    """``1 problem``, ``3 problems``."""
    return counted(len(findings), "problem")


def summary(findings: Sequence[Finding], limit: int = 3) -> str:
    """The first findings as one clause, and how many more there are."""
    first = "; ".join(finding.message for finding in findings[:limit])
    more = len(findings) - limit
    return first + (f"; and {more:,} more" if more > 0 else "")
