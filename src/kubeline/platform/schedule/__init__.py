"""Recurring runs as a file in git describes them; the platform is made to match it."""
