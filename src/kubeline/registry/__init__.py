"""Model registries behind one interface, :class:`Registry`: MLflow, Kubeflow's Model Registry, and Vertex AI's."""

from kubeline.registry.fetching import absent, fetch
from kubeline.registry.interface import DataInput, ModelVersion, Registry, RunRecord, Submission
from kubeline.registry.opening import open_registry

__all__ = ["DataInput", "ModelVersion", "Registry", "RunRecord", "Submission", "absent", "fetch", "open_registry"]
