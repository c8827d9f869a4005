"""The plan of a rollout as the platform allows it: what cannot be done there is refused in a sentence."""

from collections.abc import Mapping
from typing import Any

from kubeline.errors import UserError
from kubeline.rollout.spec import RolloutSpec
from kubeline.serving_platform.vertex_address import is_vertex
from kubeline.yaml_files import read_mapping

CLOUD_MONITORING = "cloud-monitoring"


def plan_for(cluster: str, plan_file: str, plan: Mapping[str, Any] | None, gateway: str = "") -> RolloutSpec:
    """The plan; on Vertex AI the metrics are those of Cloud Monitoring where it names no source.

    Args:
        cluster: where the model is rolled out.
        plan_file: path of a YAML file with fields of the plan; empty for none.
        plan: fields laid over those.
        gateway: where a candidate is asked through.

    Raises:
        UserError: when a field is unknown, its value not allowed, or not possible there.
    """
    below = read_mapping(plan_file, "rollout plan", "its fields, see docs/rollout.md") if plan_file else {}
    given = {**below, **(plan or {})}
    metrics = given.get("metrics", {})
    if is_vertex(cluster) and isinstance(metrics, Mapping) and "source" not in metrics:
        given["metrics"] = {**metrics, "source": CLOUD_MONITORING}
    spec = RolloutSpec.read(None, **given)
    source = spec.metrics.source if spec.metrics else ""
    if not is_vertex(cluster):
        if source == CLOUD_MONITORING:
            raise UserError(
                f"metrics.source {CLOUD_MONITORING} has the metrics of Vertex AI's endpoints, but the model goes to a "
                "cluster; give scrape or prometheus"
            )
        return spec
    if source == "scrape":
        raise UserError(
            "Vertex AI shows no pods whose metrics pages could be read, but metrics.source is scrape; leave it out, "
            f"which takes {CLOUD_MONITORING}, or give prometheus"
        )
    if gateway:
        raise UserError(
            f"Vertex AI is asked at its own address, but gateway '{gateway}' was given; leave gateway empty"
        )
    return spec
