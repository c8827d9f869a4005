"""Model registries behind one interface: MLflow today, others behind the same :class:`Registry`."""

from kubeline.registry.fetching import absent, fetch
from kubeline.registry.interface import DataInput, ModelVersion, Registry, RunRecord, Submission
from kubeline.registry.opening import open_registry

__all__ = ["DataInput", "ModelVersion", "Registry", "RunRecord", "Submission", "absent", "fetch", "open_registry"]
