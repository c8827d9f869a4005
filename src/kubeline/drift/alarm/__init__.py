"""The alarm: whether what windows showed persists, and calls for another model."""
