"""Self-contained HTML that the KFP UI shows: no network, no script."""

from kubeline.reports.page import Report, facts, figure, table, text, verdict

__all__ = ["Report", "facts", "figure", "table", "text", "verdict"]
