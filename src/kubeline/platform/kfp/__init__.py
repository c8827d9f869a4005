"""Kubeflow Pipelines by its own client library (v2beta1): versions, runs, what their steps said."""
