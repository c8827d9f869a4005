"""Interface of `rollout`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from components.images import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def rollout(
    model: Input[Model],
    manifest: Input[Artifact],
    decision: Output[Artifact],
    report: Output[HTML],
    cluster: str = "in-cluster",
    plan: dict[str, Any] = {},
    plan_file: str = "",
    gateway: str = "",
    timeout_seconds: float = 30.0,
) -> str:
    """Bring a model to its users step by step, judged by metrics, and promote it or roll it back.

    The candidate is put beside the stable model without traffic, asked for the golden rows of its package, given a
    rising share of the traffic, judged at each step, and promoted; or all traffic goes back to the stable model. The
    traffic is read from what routes it, not from what was asked for. A step that was killed and runs again goes on at
    the same point; a model that is promoted already is left alone. The first model of a service has no stable one
    beside it: it is created, tested and then exposed.

    Args:
        model: The model package.
        manifest: The InferenceService that `deploy` rendered for it, with an empty `cluster`.
        cluster: `in-cluster` uses the service account of the step's pod, which needs the Role of `manifests/base`;
            `gke://PROJECT/LOCATION/CLUSTER` uses Google's credentials; `vertex://PROJECT/LOCATION?store=gs://…&image=IMAGE`
            rolls out on an endpoint of Vertex AI; anything else is the path of a kubeconfig file.
        plan: Fields of the plan, such as `{"steps": [10, 50], "bake_seconds": 600}`; each has a default. All of them:
            `docs/rollout.md`.
        plan_file: Path of a YAML file with fields of the plan; `plan` is laid over it.
        gateway: Address to reach the candidate through, with its host name as Host header, such as
            `http://gateway.example.com`. Empty: the candidate's own address.
        timeout_seconds: Timeout of each request to the cluster, in seconds.

    Returns:
        decision: JSON with the outcome, the reason, the plan, the evidence of every analysis and the timeline; metadata
            outcome, reason, rollout_id, package_digest, name and namespace.
        report: The same for people, with the traffic over time.
        Output: `promoted`, `unchanged`, `reported`, `rolled_back` or `held`.
    """
    from kubeline.rollout import step as implementation

    return implementation.run(
        model,
        manifest,
        decision,
        report,
        cluster=cluster,
        plan=plan,
        plan_file=plan_file,
        gateway=gateway,
        timeout_seconds=timeout_seconds,
    )
