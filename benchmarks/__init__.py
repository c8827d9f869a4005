"""Each claim of speed, measured beside the tool a user would pick instead, in one run."""
