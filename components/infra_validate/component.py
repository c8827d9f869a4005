"""Interface of `infra_validate`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("serving"), install_kfp_package=False)
def infra_validate(
    model: Input[Model],
    blessing: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    max_latency_ms: float = 100.0,
    tolerance: float = 1e-5,
    timeout_seconds: float = 60.0,
    requests: int = 100,
    gate: dict[str, Any] = {},
) -> str:
    """Start the real model server on a model and check what it answers.

    Runs in the image that serves in production. The server (``python -m kubeline_serving``) is started on free ports
    with the model package, answers the golden rows of the package over KServe's v1 and v2 HTTP protocols and v2 gRPC,
    and is stopped again, even when the step is killed. Answers that differ from the recorded ones, are slow, or do not
    come hold the model.

    Args:
        model: Model package, as ``train`` or ``select`` writes it.
        max_latency_ms: Most milliseconds that 95 % of requests with one row may take, over the slowest protocol,
            sent one after the other. Greater than 0.
        tolerance: Largest allowed difference from a recorded probability; for regression from a recorded prediction, in
            standard deviations of the target. Labels must be the same. 0 or greater.
        timeout_seconds: Seconds until the server must be ready. Greater than 0.
        requests: Timed requests for each protocol. 1 or more.
        gate: The gate of a pipeline, whose max_latency_ms counts where it has one.

    Returns:
        blessing: JSON, a blessing of the check ``infra_validation`` that ``register`` and ``deploy`` ask for, with the
            verdict, the reasons and the evidence; metadata verdict, check, package_digest.
        metrics: golden_rows, max_difference, latency_p50_ms and latency_p95_ms of the slowest protocol,
            cold_start_seconds (from the start of the process to its first answers), peak_memory_mib.
        report: HTML page with the answers and times by protocol, and the rows that differ.
        Output: ``promote`` or ``hold``.
    """
    from kubeline.infra_validation import validate as implementation
    from kubeline.options import of_gate

    return implementation.run(
        model,
        blessing,
        metrics,
        report,
        max_latency_ms=of_gate(gate, "max_latency_ms", max_latency_ms),
        tolerance=tolerance,
        timeout_seconds=timeout_seconds,
        requests=requests,
    )
