"""Evidence from metrics, and the judge of it."""
