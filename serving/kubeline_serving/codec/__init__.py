"""Requests to columns that the model reads, and predictions to answers."""
