"""HTTP with bounds: the time to the last byte of an answer, its size, and who is shown a token."""
