"""Infer, edit and enforce expectations on a table."""
