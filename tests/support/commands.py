"""What tests of commands share."""

Ran = tuple[int, str, str]
"""The exit code, what was printed, and the error."""
