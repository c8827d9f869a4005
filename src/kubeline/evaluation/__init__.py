"""Metrics with intervals, slices, champion against challenger, the gate."""
