"""From a loaded table to a model that serves: the steps that the pipelines `training` and `monitoring` share.

They stand in the graph of the pipeline that calls :func:`learn`, and are no pipeline of their own: Kubeflow Pipelines
hands no artifact into one inside an exit handler, and each graph more makes the workflow bigger.
"""

from typing import Any

from kfp import dsl
from kfp.dsl.pipeline_task import PipelineTask

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.infra_validate.component import infra_validate
from components.promote_champion.component import promote_champion
from components.register.component import register
from components.rollout.component import rollout
from components.split.component import split as split_table
from components.train.component import train
from components.validate.component import validate
from pipelines.platform import never_cached, resources, retried, with_credentials


def learn(
    loaded: PipelineTask,
    *,
    target: str,
    name: str,
    candidates: list[dict[str, Any]],
    checks: dict[str, Any],
    roles: dict[str, Any],
    split: dict[str, Any],
    training: dict[str, Any],
    metric: str,
    judged: dict[str, Any],
    tracking_uri: str,
    about: dict[str, Any],
    service: dict[str, Any],
    cluster: str,
    plan: dict[str, Any],
    gateway: str,
    secret: str,
    requests: tuple[str, str],
    limits: tuple[str, str],
    schema_uri: str = "",
    seed: int = 0,
    max_latency_ms: float = 100.0,
    promote: bool = True,
) -> None:
    """Validate, split, train, evaluate beside the champion and, when it is good enough, register, deploy and roll out.

    The arguments are the parameters of the pipeline `training`, where they are explained.

    Args:
        loaded: The step that loaded the table.
        target: The column to predict.
        name: Of the registered model and the InferenceService.
        candidates: What to train.
        checks: What the table must pass.
        roles: exclude, group_column, time_column and weight_column.
        split: How test rows are chosen.
        training: How each candidate is trained.
        metric: What candidates are selected by.
        judged: slices and, as options, the gate.
        tracking_uri: The registry.
        about: What people say of the model.
        service: The InferenceService.
        cluster: Where to roll out; empty does not.
        plan: Of the rollout.
        gateway: Where the rollout reaches the candidate.
        secret: Of the credentials.
        requests: CPU and memory that a node must have free for training.
        limits: CPU and memory that training may use.
        schema_uri: A reviewed schema.
        seed: Of everything that is drawn.
        max_latency_ms: Of the model server, where the gate does not say it.
        promote: Whether the new version becomes the champion, where the gate does not say it.
    """
    validated = validate(
        dataset=loaded.outputs["dataset"],
        target=target,
        **roles,
        slices=judged["slices"],
        gate=judged["options"],
        schema_uri=schema_uri,
        options=checks,
        defer_failure=True,  # of a step that fails, Kubeflow Pipelines keeps no report
    ).set_display_name("Validate")
    with_credentials(validated, secret, "storage", "hashing")

    parts = split_table(dataset=validated.outputs["valid"], seed=seed, options=split).set_display_name("Split")

    trained = train(
        dataset=parts.outputs["train"],
        target=target,
        candidates=candidates,
        **roles,
        seed=seed,
        metric=metric,
        options=training,
    ).set_display_name("Train")
    with_credentials(resources(trained, "train", requests, limits), secret, "signing")
    model = trained.outputs["model"]

    evaluated = evaluate(
        test=parts.outputs["test"],
        model=model,
        training=trained.outputs["metrics"],
        champion=f"models:/{name}@champion",
        tracking_uri=tracking_uri,
        pipeline_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        metric=metric,
        seed=seed,
        **judged,
    ).set_display_name("Evaluate")
    with_credentials(evaluated, secret, "storage", "registry", "tracker")
    never_cached(evaluated)  # the champion may have changed

    with dsl.If(evaluated.outputs["Output"] == "promote", name="good-enough"):
        served = infra_validate(model=model, max_latency_ms=max_latency_ms, gate=judged["options"]).set_display_name(
            "Try the model server"
        )
        never_cached(with_credentials(served, secret, "signatures"))

        checked = {
            "model": model,
            "evaluation": evaluated.outputs["blessing"],
            "infra_validation": served.outputs["blessing"],
        }
        registered = register(
            **checked,
            name=name,
            tracking_uri=tracking_uri,
            promote=promote,
            cluster=cluster,
            pipeline_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            about=about,
            gate=judged["options"],
        ).set_display_name("Register")
        retried(never_cached(with_credentials(registered, secret, "storage", "registry", "signatures")))

        rendered = deploy(
            **checked, name=name, for_cluster=cluster, registered_model=registered.outputs["uri"], options=service
        ).set_display_name("Render the InferenceService")
        never_cached(with_credentials(rendered, secret, "signatures"))

        with dsl.If(cluster != "", name="on-the-cluster"):
            rolled = rollout(
                model=model, manifest=rendered.outputs["manifest"], cluster=cluster, plan=plan, gateway=gateway
            ).set_display_name("Roll out")
            retried(never_cached(with_credentials(rolled, secret, "storage", "signatures")))

            champion = promote_champion(
                name=name,
                version=registered.outputs["version"],
                decision=rolled.outputs["decision"],
                outcome=rolled.outputs["Output"],
                promote=promote,
                tracking_uri=tracking_uri,
                gate=judged["options"],
            ).set_display_name("Make champion when it serves")
            retried(never_cached(with_credentials(champion, secret, "registry")))
