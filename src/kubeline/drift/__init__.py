"""Drift statistics, the alarm, the Evidently report."""
