"""Columns derived inside the model: expressions over the columns of a row, the same to scikit-learn and to ONNX."""
