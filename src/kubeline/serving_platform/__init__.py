"""What serves a model and splits its traffic: a cluster with KServe, or endpoints of Vertex AI, by one interface."""
