"""Self-contained HTML that the KFP UI shows: no network, no script."""

from kubeline.reports.page import Report, Tone, facts, figure, table, text, verdict
from kubeline.reports.plots import CHAMPION, INK, MODEL, style

__all__ = ["CHAMPION", "INK", "MODEL", "Report", "Tone", "facts", "figure", "style", "table", "text", "verdict"]
