"""Metrics, log lines and traces of every request."""
