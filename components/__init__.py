"""What KFP sees: the interface of each component."""
