"""Preprocessing, estimators, tuning and ONNX export."""
