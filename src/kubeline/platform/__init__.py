"""Compiled pipelines on the platforms that run them: looked at beforehand, submitted, followed, scheduled."""
