"""A client of a Kubernetes API server: its objects, their merge patches, and what it refuses."""
