"""Model registries behind one interface."""
