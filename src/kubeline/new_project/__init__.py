"""A repository of one's own on top of these components: ``kubeline new project NAME``."""
