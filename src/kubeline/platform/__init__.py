"""Compiled pipelines on the platforms that run them: checked beforehand, submitted, followed, scheduled."""
