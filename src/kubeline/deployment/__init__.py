"""Renders the InferenceService of a model package, and applies it."""
