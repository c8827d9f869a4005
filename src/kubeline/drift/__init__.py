"""Drift of a window of data against the profile of the data a model was trained on."""
