"""Predictions for whole tables, by the graph that serves."""
