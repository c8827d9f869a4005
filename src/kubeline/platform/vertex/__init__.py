"""Vertex AI Pipelines by Google's own client library (``aiplatform_v1`` over REST): jobs and what their steps said."""
