"""Parameters of the longest way through a training: as many candidates as there may be, and a rollout."""

from typing import Any

from kubeline.training.candidates import MAX

_CANDIDATE = {"estimator": "hist_gradient_boosting", "params": {"learning_rate": 0.1, "max_iter": 300, "l2": 0.001}}
LONGEST: dict[str, Any] = {
    "data": "s3://bucket/flights/2013/",
    "target": "late",
    "name": "flights",
    "candidates": [_CANDIDATE] * MAX,
    "slices": ["origin", "carrier"],
    "gate": {"thresholds": {"roc_auc": {"threshold": 0.6}}},
    "tracking_uri": "http://mlflow.mlflow:5000",
    "cluster": "in-cluster",
    "plan": {"steps": [5, 25, 50, 100], "bake_seconds": 600, "rules": {"max_error_rate": 0.01}},
}
