"""The `load` component."""
