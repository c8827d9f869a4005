"""Self-contained HTML that the KFP UI shows: no network, no script."""

from kubeline.reports.page import Report, Tone, facts, figure, table, text, verdict

__all__ = ["Report", "Tone", "facts", "figure", "table", "text", "verdict"]
