"""Preprocessing, estimators, tuning and ONNX export."""

import os

# Idle threads of OpenMP sleep instead of spinning: where several steps share the cores, or a container has a CPU limit,
# spinning makes a training three to four times slower. It is read when scikit-learn is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
