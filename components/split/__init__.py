"""The `split` component."""
