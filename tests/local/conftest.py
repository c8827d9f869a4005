"""A small compiled pipeline with a loop, a condition and an exit handler, as the real ones have."""
